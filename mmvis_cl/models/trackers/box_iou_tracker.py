"""Association by the overlap of boxes, to see what the embeddings are worth."""

from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_overlaps
from torch import Tensor

from mmvis_cl.registry import MODELS

from .memory_bank import MemoryBank
from .memory_bank_tracker import MemoryBankTracker


@MODELS.register_module()
class BoxIoUTracker(MemoryBankTracker):
    """The memory bank with box IoU in place of embeddings: no appearance, no memory of the past.

    A detection goes to the identity whose last box it overlaps most, if by more than ``match_thr``.

    Args:
        match_thr (float): least IoU.
        **kwargs: of :class:`MemoryBankTracker`.
    """

    def __init__(self, match_thr: float = 0.3, **kwargs) -> None:
        super().__init__(match_thr=match_thr, frame_weight=False, **kwargs)

    def affinity(self, bank: MemoryBank, embeds: Tensor, boxes: Tensor) -> Tensor:
        """IoU of each detection's box with each identity's last one: (n, M).

        Args:
            bank (MemoryBank): M identities.
            embeds (Tensor): not used.
            boxes (Tensor): (n, 4) cx cy w h.
        """
        return bbox_overlaps(bbox_cxcywh_to_xyxy(boxes), bbox_cxcywh_to_xyxy(bank.boxes))
