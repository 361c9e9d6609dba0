"""OTA matching with a dynamic number of queries per object."""

from typing import NamedTuple

import torch
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from torch import Tensor
from torchvision.ops import box_iou, generalized_box_iou

from mmvis_cl.errors import InputError
from mmvis_cl.registry import TASK_UTILS


class OTAMatch(NamedTuple):
    """Which query learns which object, for L decoder layers, Q queries, n objects.

    Attributes:
        objects (Tensor): (L, Q) long, the object of each query, -1 for none.
        best_query (Tensor): (L, n) long, the cheapest of each object's own queries.
    """

    objects: Tensor
    best_query: Tensor


@TASK_UTILS.register_module()
class OTAAssigner:
    """Simplified optimal transport assignment (Ge et al., "YOLOX") between queries and objects.

    The cost of query i for object j is

        focal class cost + ``giou_weight`` * (-GIoU)
        + ``outside_both_cost`` where i's centre is not both inside box j and near j's centre
        + ``outside_all_cost`` where i's centre is in no object's box and near no object's centre.

    Object j takes its k_j cheapest queries, k_j = max(1, floor(sum of its ``candidate_topk``
    largest IoUs)). A query taken by several objects goes to the object it is cheapest for; an
    object left with none takes its cheapest free query (or, if none is free, one of an object that
    has several).

    Args:
        candidate_topk (int): how many IoUs are summed for k.
        alpha (float): focal class cost, weight of the positive term.
        gamma (float): focal class cost, exponent.
        giou_weight (float): weight of the GIoU.
        center_radius (float): half side of the square around an object's centre, as a fraction of
            the image.
        outside_both_cost (float): see above.
        outside_all_cost (float): see above.
    """

    def __init__(
        self,
        candidate_topk: int = 10,
        alpha: float = 0.25,
        gamma: float = 2.0,
        giou_weight: float = 3.0,
        center_radius: float = 2.5 / 32,
        outside_both_cost: float = 100.0,
        outside_all_cost: float = 10000.0,
    ) -> None:
        self.candidate_topk = candidate_topk
        self.alpha = alpha
        self.gamma = gamma
        self.giou_weight = giou_weight
        self.center_radius = center_radius
        self.outside_both_cost = outside_both_cost
        self.outside_all_cost = outside_all_cost

    @torch.no_grad()
    def assign(
        self,
        logits: Tensor,
        boxes: Tensor,
        gt_labels: Tensor,
        gt_boxes: Tensor,
        candidate_topk: int | None = None,
    ) -> OTAMatch:
        """Match the queries of every decoder layer, each layer on its own.

        Args:
            logits (Tensor): (L, Q, K) class logits.
            boxes (Tensor): (L, Q, 4) cx, cy, w, h over the image size.
            gt_labels (Tensor): (n,) long in [0, K).
            gt_boxes (Tensor): (n, 4) cx, cy, w, h over the image size.
            candidate_topk (int, optional): replaces the one of the constructor. More than Q means
                Q.

        Returns:
            OTAMatch: the match.

        Raises:
            InputError: there are more objects than queries.
        """
        num_layers, num_queries = logits.shape[:2]
        num_objects = len(gt_labels)
        if num_objects == 0:
            return OTAMatch(
                gt_labels.new_full((num_layers, num_queries), -1),
                gt_labels.new_zeros((num_layers, 0)),
            )
        if num_objects > num_queries:
            raise InputError(
                f'an image has {num_objects} objects, but the model only {num_queries} queries: '
                'raise model.detector.num_queries'
            )
        cost, iou = self.cost(logits, boxes, gt_labels, gt_boxes)

        topk = min(candidate_topk or self.candidate_topk, num_queries)
        k = iou.topk(topk, dim=1).values.sum(1).int().clamp(min=1)  # (L, n)
        rank = cost.argsort(dim=1, stable=True).argsort(dim=1)
        taken = rank < k[:, None]  # (L, Q, n)
        # of all objects, not only of those that took it, as in the release
        taken = torch.where(taken.sum(2, keepdim=True) > 1, _smallest(cost, dim=2), taken)

        # Every round leaves more objects with a query than the one before, so this ends.
        while (without := ~taken.any(1, keepdim=True)).any():
            free = ~taken.any(2, keepdim=True)
            spare = (taken & (taken.sum(1, keepdim=True) > 1)).any(2, keepdim=True)
            available = torch.where(free.any(1, keepdim=True), free, spare)
            wanted = without & _smallest(cost.masked_fill(~available, torch.inf), dim=1)
            given = wanted & _smallest(cost.masked_fill(~wanted, torch.inf), dim=2)
            taken = torch.where(given.any(2, keepdim=True), given, taken)

        objects = torch.where(taken.any(2), taken.int().argmax(2), -1)
        best_query = cost.masked_fill(~taken, torch.inf).argmin(1)
        return OTAMatch(objects, best_query)

    def cost(
        self, logits: Tensor, boxes: Tensor, gt_labels: Tensor, gt_boxes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Cost and IoU of every query for every object.

        Args: as for :meth:`assign`.

        Returns:
            tuple[Tensor, Tensor]: cost and IoU, each (L, Q, n), float32.
        """
        num_layers, num_queries = logits.shape[:2]
        prob = logits[..., gt_labels].float().sigmoid()
        positive = self.alpha * (1 - prob) ** self.gamma * -(prob + 1e-8).log()
        negative = (1 - self.alpha) * prob**self.gamma * -(1 - prob + 1e-8).log()

        boxes = boxes.float()
        xyxy = bbox_cxcywh_to_xyxy(boxes).flatten(0, 1)
        gt_xyxy = bbox_cxcywh_to_xyxy(gt_boxes)
        shape = (num_layers, num_queries, len(gt_labels))
        iou = box_iou(xyxy, gt_xyxy).view(shape)
        giou = generalized_box_iou(xyxy, gt_xyxy).view(shape)

        center = boxes[..., None, :2]
        in_box = ((center > gt_xyxy[:, :2]) & (center < gt_xyxy[:, 2:])).all(-1)
        near = ((center - gt_boxes[:, :2]).abs() < self.center_radius).all(-1)
        cost = positive - negative - self.giou_weight * giou
        cost = cost + self.outside_both_cost * ~(in_box & near)
        cost = cost + self.outside_all_cost * ~(in_box | near).any(-1, keepdim=True)
        return cost, iou


def _smallest(cost: Tensor, dim: int) -> Tensor:
    """Mask of the smallest entry along ``dim``; exactly one there."""
    return torch.zeros_like(cost, dtype=torch.bool).scatter_(
        dim, cost.argmin(dim, keepdim=True), True
    )
