"""Transforms for pairs of frames; the rest comes from mmdet and mmcv."""

from .formatting import PackVISInputs
from .frame_sampling import KeyRefFrameSample
from .instances import BoxesFromMasks
from .loading import LoadFrame
from .pseudo_pair import PseudoPair
from .resize import AlignedResize

__all__ = [
    'AlignedResize',
    'BoxesFromMasks',
    'KeyRefFrameSample',
    'LoadFrame',
    'PackVISInputs',
    'PseudoPair',
]
