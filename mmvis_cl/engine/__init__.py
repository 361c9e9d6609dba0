"""What runs around the model: hooks of the runner and the helpers of the command line tools."""

from .hooks import (
    CheckFitHook,
    IterationSeedHook,
    PeakMemoryHook,
    ProgressBarHook,
    TrackVideoHook,
)

__all__ = [
    'CheckFitHook',
    'IterationSeedHook',
    'PeakMemoryHook',
    'ProgressBarHook',
    'TrackVideoHook',
]
