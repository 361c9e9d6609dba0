"""The network, its heads and losses, and the association."""

from mmvis_cl.models.data_preprocessors.data_preprocessor import VISDataPreprocessor
from mmvis_cl.models.dense_heads.dynamic_mask_head import DynamicMaskHead
from mmvis_cl.models.dense_heads.mask_query_head import MaskQueryHead
from mmvis_cl.models.dense_heads.query_head import QueryHead
from mmvis_cl.models.detectors.deformable_detr import MaskDeformableDETR
from mmvis_cl.models.detectors.query_mask_former import QueryMaskFormer
from mmvis_cl.models.layers.deformable_attention import GatherDeformableAttention
from mmvis_cl.models.layers.pixel_decoder import MaskPixelDecoder
from mmvis_cl.models.losses.contrastive_loss import AuxiliaryCosineLoss, LogSumExpContrastiveLoss
from mmvis_cl.models.losses.focal_loss import SigmoidFocalLoss
from mmvis_cl.models.losses.quasi_dense_loss import QuasiDenseLogSumExpLoss
from mmvis_cl.models.task_modules.ota_assigner import OTAAssigner, OTAMatch
from mmvis_cl.models.trackers.box_iou_tracker import BoxIoUTracker
from mmvis_cl.models.trackers.long_term_memory import LongTermMemory
from mmvis_cl.models.trackers.memory_bank import MemoryBank
from mmvis_cl.models.trackers.memory_bank_tracker import MemoryBankTracker
from mmvis_cl.models.trackers.roi_tracker import RoITracker
from mmvis_cl.models.tracking_heads.clip_contrastive_head import ClipContrastiveHead
from mmvis_cl.models.tracking_heads.contrastive_head import ContrastiveHead
from mmvis_cl.models.tracking_heads.reference_selector import ReferenceSelector
from mmvis_cl.models.vis.contrastive_vis import ContrastiveVIS
from mmvis_cl.models.vis.multi_scale_vis import MultiScaleVIS
from mmvis_cl.models.vis.video_session import VideoSession

from .backbones import TimmBackbone

__all__ = [
    'AuxiliaryCosineLoss',
    'BoxIoUTracker',
    'ClipContrastiveHead',
    'ContrastiveHead',
    'ContrastiveVIS',
    'DynamicMaskHead',
    'GatherDeformableAttention',
    'LogSumExpContrastiveLoss',
    'LongTermMemory',
    'MaskDeformableDETR',
    'MaskPixelDecoder',
    'MaskQueryHead',
    'MemoryBank',
    'MemoryBankTracker',
    'MultiScaleVIS',
    'OTAAssigner',
    'OTAMatch',
    'QuasiDenseLogSumExpLoss',
    'QueryHead',
    'QueryMaskFormer',
    'ReferenceSelector',
    'RoITracker',
    'SigmoidFocalLoss',
    'TimmBackbone',
    'VISDataPreprocessor',
    'VideoSession',
]
