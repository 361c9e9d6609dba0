"""Video data sets and their transforms."""

from .coco_images import COCOImages
from .ratio_sampler import RatioSampler
from .seeded_sampler import SeededInfiniteSampler
from .transforms import (
    AlignedResize,
    BoxesFromMasks,
    KeyRefFrameSample,
    LoadFrame,
    LostObjects,
    MovingCrop,
    MovingRotation,
    PackVISInputs,
    PseudoPair,
)
from .youtube_vis import VISDataset

__all__ = [
    'AlignedResize',
    'BoxesFromMasks',
    'COCOImages',
    'KeyRefFrameSample',
    'LoadFrame',
    'LostObjects',
    'MovingCrop',
    'MovingRotation',
    'PackVISInputs',
    'PseudoPair',
    'RatioSampler',
    'SeededInfiniteSampler',
    'VISDataset',
]
