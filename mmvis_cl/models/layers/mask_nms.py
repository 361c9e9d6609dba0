"""Overlap of masks, and dropping those that overlap better ones."""

import torch
from torch import Tensor


def mask_iou(masks: Tensor) -> Tensor:
    """Pairwise IoU of masks (n, ...) bool: (n, n), with 1e-6 on both sides of the fraction."""
    flat = masks.flatten(1).float()
    with torch.autocast(masks.device.type, enabled=False):  # half cannot count pixels
        intersection = flat @ flat.T
    area = flat.sum(1)
    union = area[:, None] + area - intersection
    return (intersection + 1e-6) / (union + 1e-6)


def mask_nms(iou: Tensor, iou_thr: float, greedy: bool = False) -> Tensor:
    """Drop each mask that overlaps any better-scored one by more than ``iou_thr``.

    A dropped mask still suppresses those after it, as in the authors' release.

    Args:
        iou (Tensor): (n, n), masks in order of score.
        iou_thr (float): threshold.
        greedy (bool): a dropped mask suppresses no other, as in CTVIS's release.

    Returns:
        Tensor: (n,) bool, which are kept.
    """
    overlaps = torch.tril(iou, diagonal=-1) > iou_thr
    if not greedy:
        return ~overlaps.any(1)
    kept = torch.ones(len(iou), dtype=torch.bool, device=iou.device)
    for i, better in enumerate(overlaps):
        kept[i] = not (better & kept).any()
    return kept
