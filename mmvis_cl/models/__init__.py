"""The network, its heads and losses, and the association."""

from .backbones import TimmBackbone
from .box_iou_tracker import BoxIoUTracker
from .contrastive_head import ContrastiveHead
from .contrastive_loss import AuxiliaryCosineLoss, LogSumExpContrastiveLoss
from .contrastive_vis import ContrastiveVIS, VideoSession
from .data_preprocessor import VISDataPreprocessor
from .deformable_attention import GatherDeformableAttention
from .deformable_detr import MaskDeformableDETR
from .dynamic_mask_head import DynamicMaskHead
from .focal_loss import SigmoidFocalLoss
from .memory_bank_tracker import MemoryBank, MemoryBankTracker
from .multi_scale_vis import MultiScaleVIS
from .ota_assigner import OTAAssigner, OTAMatch
from .quasi_dense_loss import QuasiDenseLogSumExpLoss
from .query_head import QueryHead
from .query_mask_former import QueryMaskFormer
from .reference_selector import ReferenceSelector
from .roi_tracker import RoITracker

__all__ = [
    'AuxiliaryCosineLoss',
    'BoxIoUTracker',
    'ContrastiveHead',
    'ContrastiveVIS',
    'DynamicMaskHead',
    'GatherDeformableAttention',
    'LogSumExpContrastiveLoss',
    'MaskDeformableDETR',
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
