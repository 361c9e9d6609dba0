"""The memory bank as the tracker of mmdet's two-stage video models."""

import torch
from mmdet.models.tracking_heads import RoITrackHead
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_overlaps, bbox_xyxy_to_cxcywh
from mmengine.model import BaseModule
from mmengine.structures import InstanceData
from pycocotools import mask as mask_utils
from torch import Tensor, nn
from torch.nn import functional as F

from mmvis_cl.models.layers.mask_nms import mask_nms
from mmvis_cl.registry import MODELS
from mmvis_cl.structures import encode_masks

from .memory_bank import MemoryBank


@MODELS.register_module()
class RoITracker(BaseModule):
    """Speaks mmdet's tracker interface, and leaves the association to a memory bank.

    mmdet's MaskTrack R-CNN and QDTrack keep the state of a video in their tracker, reset it at
    frame 0, and hand over a frame's detections together with the model, out of whose ``track_head``
    the tracker gets the embeddings. A :class:`MemoryBankTracker` knows neither state nor model.

    Args:
        tracker (dict, optional): a :class:`MemoryBankTracker` (the default) or a tracker with the
            same ``track``.
        nms_thr (float): a detection that overlaps a better-scored one, of any class, by a larger
            IoU is dropped. The overlap is that of the masks; of the boxes if there are no masks.
        cosine_scale (float, optional): compare embeddings by their cosine times this. If None by
            their product, which fits embeddings that a log-sum-exp loss has taught. The products of
            others may be too small for the bank's softmax to tell a match.
        init_cfg (dict, optional): mmengine's initialisation config.
    """

    def __init__(
        self,
        tracker: dict | None = None,
        nms_thr: float = 0.5,
        cosine_scale: float | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.tracker = MODELS.build(tracker or dict(type='mmvis_cl.MemoryBankTracker'))
        self.nms_thr = nms_thr
        self.cosine_scale = cosine_scale
        self.reset()

    def reset(self) -> None:
        """Forget the video."""
        self.bank: MemoryBank | None = None

    @torch.no_grad()
    def track(
        self,
        model: nn.Module,
        feats: list[Tensor],
        data_sample: DetDataSample,
        rescale: bool = True,
        **kwargs,
    ) -> InstanceData:
        """Give identities to the detections of the next frame.

        Args:
            model (nn.Module): with mmdet's ``RoITrackHead`` or ``QuasiDenseTrackHead`` as its
                ``track_head``.
            feats (list[Tensor]): the frame's maps, each (1, C, h, w).
            data_sample (DetDataSample): the frame, with ``frame_id``, ``scale_factor`` and
                ``pred_instances``: bboxes (n, 4; x1 y1 x2 y2 in pixels), labels, scores and, of
                models that have them, masks (n, H, W) bool.
            rescale (bool): the boxes are those of the original image, not of the network's input.
            **kwargs: what else mmdet's models hand over (``img``) is not needed.

        Returns:
            InstanceData: the detections with an identity, best first, with ``instances_id``.
        """
        found = data_sample.pred_instances
        found = found[found.scores.argsort(descending=True)]
        iou = detection_iou(found)
        kept = mask_nms(iou, self.nms_thr).nonzero()[:, 0]
        found, iou = found[kept], iou[kept][:, kept]
        if len(found):
            factor = found.bboxes.new_tensor(data_sample.scale_factor if rescale else (1, 1))
            embeds = roi_embeddings(model.track_head, feats, found.bboxes * factor.repeat(2))
            if self.cosine_scale is not None:
                embeds = self.cosine_scale**0.5 * F.normalize(embeds, dim=1)
        elif self.bank is not None:  # identities grow old in empty frames too
            embeds = self.bank.embeds.new_zeros((0, self.bank.embeds.shape[2]))
        else:
            return _with_ids(found, found.labels)
        ids, self.bank = self.tracker.track(
            self.bank,
            data_sample.frame_id,
            embeds,
            found.scores,
            found.labels,
            bbox_xyxy_to_cxcywh(found.bboxes),
            iou,
        )
        seen = (ids >= 0).nonzero()[:, 0]
        return _with_ids(found[seen.to(found.scores.device)], ids[seen])


def roi_embeddings(track_head: nn.Module, feats: list[Tensor], boxes: Tensor) -> Tensor:
    """The embeddings (n, E) of boxes by an mmdet track head.

    Args:
        track_head (nn.Module): a ``RoITrackHead`` or a ``QuasiDenseTrackHead``.
        feats (list[Tensor]): maps of one image.
        boxes (Tensor): (n, 4) x1 y1 x2 y2 in pixels of the network's input, n > 0.
    """
    if isinstance(track_head, RoITrackHead):
        # its predict() gives similarities only; these are what it multiplies for them
        return track_head.embed_head.extract_feat(
            *track_head.extract_roi_feats(feats, [boxes]),
        )[0]
    return track_head.predict(feats, [boxes])


def detection_iou(found: InstanceData) -> Tensor:
    """Pairwise IoU (n, n) of the masks, or of the boxes where there are no masks."""
    if 'masks' not in found:
        return bbox_overlaps(found.bboxes, found.bboxes)
    if not len(found):
        return found.scores.new_zeros((0, 0))
    rles = encode_masks(found.masks)  # dense, 100 masks of a large video are 100 MB
    return found.scores.new_tensor(mask_utils.iou(rles, rles, [0] * len(rles)))


def _with_ids(found: InstanceData, ids: Tensor) -> InstanceData:
    found.instances_id = ids.to(found.scores.device)
    return found
