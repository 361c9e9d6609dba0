"""What the video model asks of an image network about the queries of one frame."""

from typing import Protocol

import torch
from mmdet.structures import SampleList
from torch import Tensor

from mmvis_cl.models.task_modules.clip_objects import ClipObjects, ClipQueries


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

    def loss_of_clips(
        self, states: FrameStates, frames: SampleList, clips: list[ClipObjects]
    ) -> tuple[dict[str, Tensor], list[ClipQueries]]:
        """Losses of all frames, and the queries of each clip's objects.

        Args:
            states (FrameStates): of B clips of T frames, one clip after the other.
            frames (list[DetDataSample]): B * T samples with ``gt_instances``.
            clips (list[ClipObjects]): of B clips.

        Returns:
            tuple[dict, list[ClipQueries]]: the losses, and the queries that learn the objects: the
            best ones by the matching of the losses.
        """
        losses, matches = self.loss_of_states(states, frames)
        queries, rest = [], iter(matches)
        for clip in clips:
            best, own = [], []
            for place, match in zip(clip.place, rest, strict=False):
                none = match.best_query.new_full((1,), -1)
                best.append(torch.cat((match.best_query[-1], none))[place])  # at -1: none
                own.append((match.objects[-1] == place[:, None]) & (place[:, None] >= 0))
            queries.append(ClipQueries(torch.stack(best), torch.stack(own)))
        return losses, queries
