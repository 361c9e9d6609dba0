"""Drawing of tracked instances and writing of videos."""

from .draw_tracks import draw_tracks, identity_colors
from .result_video import write_result_video
from .video_writer import VideoWriter

__all__ = ['VideoWriter', 'draw_tracks', 'identity_colors', 'write_result_video']
