from .check_fit_hook import CheckFitHook
from .fast_inference_hook import FastInferenceHook
from .iteration_seed_hook import IterationSeedHook
from .peak_memory_hook import PeakMemoryHook
from .progress_bar_hook import ProgressBarHook
from .stop_hook import StopHook
from .track_video_hook import TrackVideoHook
from .tracked_frames_hook import TrackedFramesHook
from .whole_checkpoint_hook import WholeCheckpointHook

__all__ = [
    'CheckFitHook',
    'FastInferenceHook',
    'IterationSeedHook',
    'PeakMemoryHook',
    'ProgressBarHook',
    'StopHook',
    'TrackVideoHook',
    'TrackedFramesHook',
    'WholeCheckpointHook',
]
