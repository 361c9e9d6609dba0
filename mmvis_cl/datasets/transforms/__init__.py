"""Transforms for pairs of frames; the rest comes from mmdet and mmcv."""

from .formatting import PackVISInputs
from .frame_sampling import KeyRefFrameSample
from .instances import BoxesFromMasks, LostObjects
from .loading import LoadFrame
from .moving_camera import MovingCrop, MovingRotation
from .pseudo_pair import PseudoPair
from .resize import AlignedResize

__all__ = [
    'AlignedResize',
    'BoxesFromMasks',
    'KeyRefFrameSample',
    'LoadFrame',
    'LostObjects',
    'MovingCrop',
    'MovingRotation',
    'PackVISInputs',
    'PseudoPair',
]
