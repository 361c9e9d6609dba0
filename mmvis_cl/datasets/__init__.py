"""Video data sets and their transforms."""

from .seeded_sampler import SeededInfiniteSampler
from .transforms import (
    AlignedResize,
    BoxesFromMasks,
    KeyRefFrameSample,
    LoadFrame,
    PackVISInputs,
)
from .youtube_vis import VISDataset

__all__ = [
    'AlignedResize',
    'BoxesFromMasks',
    'KeyRefFrameSample',
    'LoadFrame',
    'PackVISInputs',
    'SeededInfiniteSampler',
    'VISDataset',
]
