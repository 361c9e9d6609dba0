"""What runs around the model: hooks of the runner and the helpers of the command line tools."""

from .accumulating_loop import AccumulatingTrainLoop
from .hooks import (
    CheckFitHook,
    FastInferenceHook,
    IterationSeedHook,
    PeakMemoryHook,
    ProgressBarHook,
    StopHook,
    TrackVideoHook,
    WholeCheckpointHook,
)
from .score_log_processor import ScoreLogProcessor

__all__ = [
    'AccumulatingTrainLoop',
    'CheckFitHook',
    'FastInferenceHook',
    'IterationSeedHook',
    'PeakMemoryHook',
    'ProgressBarHook',
    'ScoreLogProcessor',
    'StopHook',
    'TrackVideoHook',
    'WholeCheckpointHook',
]
