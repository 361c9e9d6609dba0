"""OTA matching with a dynamic number of queries per object."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

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

    def assign(
        self,
        logits: Tensor,
        boxes: Tensor,
        gt_labels: Tensor,
        gt_boxes: Tensor,
        candidate_topk: int | None = None,
    ) -> OTAMatch:
        """Match the queries of every decoder layer of one image, each layer on its own.

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
        topk = (candidate_topk or self.candidate_topk,)
        return self.assign_images(logits[:, None], boxes[:, None], [gt_labels], [gt_boxes], topk)[0]

    @torch.no_grad()
    def assign_images(
        self,
        logits: Tensor,
        boxes: Tensor,
        gt_labels: Sequence[Tensor],
        gt_boxes: Sequence[Tensor],
        candidate_topks: Sequence[int] | None = None,
    ) -> list[OTAMatch]:
        """Match the queries of every layer of several images in one go.

        For 8 images and 2 layers a quarter of the time of one image after the other.

        Args:
            logits (Tensor): (L, B, Q, K) class logits.
            boxes (Tensor): (L, B, Q, 4) cx, cy, w, h over the image size.
            gt_labels (Sequence[Tensor]): of each image (n,) long in [0, K).
            gt_boxes (Sequence[Tensor]): of each image (n, 4) cx, cy, w, h over its size.
            candidate_topks (Sequence[int], optional): T numbers that replace the one of the
                constructor. The costs are computed once.

        Returns:
            list[OTAMatch]: of each image; with its T * L layers, those of the first number first.

        Raises:
            InputError: there are more objects than queries.
        """
        candidate_topks = candidate_topks or (self.candidate_topk,)
        num_layers, _, num_queries = logits.shape[:3]
        num_objects = [len(labels) for labels in gt_labels]
        if max(num_objects) > num_queries:
            raise InputError(
                f'an image has {max(num_objects)} objects, but the model only {num_queries} '
                'queries: raise model.detector.num_queries'
            )
        if max(num_objects) == 0:
            rows = num_layers * len(candidate_topks)
            match = OTAMatch(
                gt_labels[0].new_full((rows, num_queries), -1), gt_labels[0].new_empty((rows, 0))
            )
            return [match] * len(num_objects)
        # what fills up the images with fewer objects takes no query
        real = pad_sequence(
            [torch.ones_like(labels, dtype=torch.bool) for labels in gt_labels], True
        )
        cost, iou = self.cost(
            logits, boxes, pad_sequence(gt_labels, True), pad_sequence(gt_boxes, True), real
        )

        k = []
        for topk in candidate_topks:
            largest = iou.topk(min(topk, num_queries), dim=2).values  # (L, B, topk, n)
            k.append(largest.sum(2).int().clamp(min=1) * real)
        rank = cost.argsort(dim=2, stable=True).argsort(dim=2)
        taken = torch.cat([rank < each[:, :, None] for each in k])  # (T * L, B, Q, n)
        cost = cost.repeat(len(k), 1, 1, 1)
        # of all objects, not only of those that took it, as in the release
        taken = torch.where(taken.sum(3, keepdim=True) > 1, _smallest(cost, dim=3), taken)

        # Every round leaves more objects with a query than the one before, so this ends.
        real = real[:, None]
        while (without := real & ~taken.any(2, keepdim=True)).any():
            free = ~taken.any(3, keepdim=True)
            spare = (taken & (taken.sum(2, keepdim=True) > 1)).any(3, keepdim=True)
            available = torch.where(free.any(2, keepdim=True), free, spare)
            wanted = without & _smallest(cost.masked_fill(~available, torch.inf), dim=2)
            given = wanted & _smallest(cost.masked_fill(~wanted, torch.inf), dim=3)
            taken = torch.where(given.any(3, keepdim=True), given, taken)

        objects = torch.where(taken.any(3), taken.int().argmax(3), -1)
        best_query = cost.masked_fill(~taken, torch.inf).argmin(2)
        return [OTAMatch(objects[:, i], best_query[:, i, :n]) for i, n in enumerate(num_objects)]

    def cost(
        self,
        logits: Tensor,
        boxes: Tensor,
        gt_labels: Tensor,
        gt_boxes: Tensor,
        real: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Cost and IoU of every query for every object, in float32.

        Args:
            logits (Tensor): (L, B, Q, K), or (L, Q, K) of one image.
            boxes (Tensor): (L, B, Q, 4) or (L, Q, 4).
            gt_labels (Tensor): (B, n) or (n,).
            gt_boxes (Tensor): (B, n, 4) or (n, 4).
            real (Tensor, optional): (B, n) or (n,) bool; False: there is no such object, its cost
                is infinite and its IoU 0. All are there if None.

        Returns:
            tuple[Tensor, Tensor]: cost and IoU, each (L, B, Q, n) or (L, Q, n).
        """
        index = gt_labels[..., None, :].expand(*logits.shape[:-1], -1)
        prob = logits.gather(-1, index).float().sigmoid()
        positive = self.alpha * (1 - prob) ** self.gamma * -(prob + 1e-8).log()
        negative = (1 - self.alpha) * prob**self.gamma * -(1 - prob + 1e-8).log()

        boxes, gt_boxes = boxes.float(), gt_boxes.float()[..., None, :, :]
        gt_xyxy = bbox_cxcywh_to_xyxy(gt_boxes)
        iou, giou = _iou_and_giou(bbox_cxcywh_to_xyxy(boxes)[..., None, :], gt_xyxy)

        center = boxes[..., None, :2]
        in_box = ((center > gt_xyxy[..., :2]) & (center < gt_xyxy[..., 2:])).all(-1)
        near = ((center - gt_boxes[..., :2]).abs() < self.center_radius).all(-1)
        in_any = in_box | near
        if real is not None:
            real = real[..., None, :]
            in_any = in_any & real
        cost = positive - negative - self.giou_weight * giou
        cost = cost + self.outside_both_cost * ~(in_box & near)
        cost = cost + self.outside_all_cost * ~in_any.any(-1, keepdim=True)
        if real is not None:
            iou = iou.masked_fill(~real, 0)
            cost = cost.masked_fill(~real, torch.inf)
        return cost, iou


def _iou_and_giou(boxes: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """torchvision's two functions in one, for boxes x1, y1, x2, y2 of any shapes that fit."""
    (x1, y1, x2, y2), (u1, v1, u2, v2) = boxes.unbind(-1), others.unbind(-1)
    width = (torch.minimum(x2, u2) - torch.maximum(x1, u1)).clamp(min=0)
    height = (torch.minimum(y2, v2) - torch.maximum(y1, v1)).clamp(min=0)
    both = width * height
    union = (x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - both
    iou = both / union
    hull = (torch.maximum(x2, u2) - torch.minimum(x1, u1)) * (
        torch.maximum(y2, v2) - torch.minimum(y1, v1)
    )
    return iou, iou - (hull - union) / hull


def _smallest(cost: Tensor, dim: int) -> Tensor:
    """Mask of the smallest entry along ``dim``; exactly one there."""
    return torch.zeros_like(cost, dtype=torch.bool).scatter_(
        dim, cost.argmin(dim, keepdim=True), True
    )
