"""What the video model asks of an image network about the queries of one frame."""

from typing import Protocol

from torch import Tensor


class FrameStates(Protocol):
    """What a network knows of B images, the last layer last.

    Attributes:
        states (Tensor): (L, B, Q, C) of the queries.
        logits (Tensor): (L, B, Q, K), of which the sigmoid is the probability of each class.
        boxes (Tensor): (L, B, Q, 4) cx, cy, w, h over the unpadded image size.
    """

    states: Tensor
    logits: Tensor
    boxes: Tensor


class ImageNetwork:
    """Looks at single queries of the last layer, for networks that have :class:`FrameStates`.

    Attributes:
        class_logits_are (str): their kind, see ``scores_are`` of :class:`VideoResult`.
    """

    class_logits_are = 'logits'

    def confident_queries(self, states: FrameStates, image: int) -> tuple[Tensor, Tensor]:
        """``select_queries`` of one image, decided on the CPU.

        Some hundred queries are too few to keep a GPU busy, and each look at one waits for it.
        """
        return self.select_queries(states.logits[-1, image].cpu(), states.boxes[-1, image].cpu())

    def class_logits(self, states: FrameStates, image: int, index: Tensor) -> Tensor:
        """Class logits (n, K) of queries (n,) of one image."""
        return states.logits[-1, image, index]

    def query_boxes(self, states: FrameStates, image: int, index: Tensor, masks: Tensor) -> Tensor:
        """Boxes (n, 4; cx, cy, w, h over the unpadded size) of queries (n,) with these masks."""
        return states.boxes[-1, image, index]
