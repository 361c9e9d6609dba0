"""Which queries of the reference frame attract an object's embedding, and which repel it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mmvis_cl.registry import TASK_UTILS


@TASK_UTILS.register_module()
class ReferenceSelector:
    """Positives and negatives by two matchings of different width.

    Args:
        assigner (dict): an :class:`OTAAssigner`.
        positive_topk (int): the queries that the assigner gives an object with k from this many
            IoUs are its positives.
        negative_topk (int): the queries that it does not give the object with k from this many IoUs
            are its negatives. Those between the two are neither.
    """

    def __init__(
        self, assigner: dict | None = None, positive_topk: int = 10, negative_topk: int = 100
    ) -> None:
        self.assigner = TASK_UTILS.build(assigner or dict(type='mmvis_cl.OTAAssigner'))
        self.positive_topk = positive_topk
        self.negative_topk = negative_topk

    def select(
        self, logits: Tensor, boxes: Tensor, labels: Tensor, gt_boxes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Positives and negatives of each object.

        Args:
            logits (Tensor): (Q, K) of the reference frame.
            boxes (Tensor): (Q, 4) of the reference frame, cx, cy, w, h over its size.
            labels (Tensor): (n,) of the objects.
            gt_boxes (Tensor): (n, 4) of the objects in the reference frame.

        Returns:
            tuple[Tensor, Tensor]: positives and negatives, each (n, Q) bool.
        """
        one = self.select_images(logits[None], boxes[None], [labels], [gt_boxes])
        return one[0]

    def select_images(
        self,
        logits: Tensor,
        boxes: Tensor,
        labels: Sequence[Tensor],
        gt_boxes: Sequence[Tensor],
    ) -> list[tuple[Tensor, Tensor]]:
        """Positives and negatives of the objects of several images, matched in one go.

        Args:
            logits (Tensor): (B, Q, K) of the reference frames.
            boxes (Tensor): (B, Q, 4) of the reference frames.
            labels (Sequence[Tensor]): of each frame (n,).
            gt_boxes (Sequence[Tensor]): of each frame (n, 4).

        Returns:
            list[tuple[Tensor, Tensor]]: as :meth:`select`, for each image.
        """
        matches = self.assigner.assign_images(
            logits[None], boxes[None], labels, gt_boxes, (self.positive_topk, self.negative_topk)
        )
        selected = []
        for match, of in zip(matches, labels, strict=True):
            index = torch.arange(len(of), device=logits.device)
            narrow, wide = match.objects[:, None] == index[:, None]
            selected.append((narrow, ~wide))
        return selected
