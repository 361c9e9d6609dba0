"""What a tracked video can be written as, frame by frame."""

from .coco_video_output import COCOVideoOutput
from .open_outputs import open_outputs
from .output import Output, Outputs
from .palette_png_output import PalettePNGOutput, davis_palette
from .video_output import VideoOutput
from .youtube_vis_output import YouTubeVISOutput

__all__ = [
    'COCOVideoOutput',
    'Output',
    'Outputs',
    'PalettePNGOutput',
    'VideoOutput',
    'YouTubeVISOutput',
    'davis_palette',
    'open_outputs',
]
