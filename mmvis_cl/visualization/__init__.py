"""Drawing of tracked instances and writing of videos."""

from .draw_tracks import draw_tracks, identity_colors
from .frame_drawer import FrameDrawer
from .result_video import write_result_video
from .video_writer import VideoWriter
from .window import Window

__all__ = [
    'FrameDrawer',
    'VideoWriter',
    'Window',
    'draw_tracks',
    'identity_colors',
    'write_result_video',
]
