"""What programs use: a video in, tracked frames out."""

from mmvis_cl.config_names import find_config
from mmvis_cl.datasets.video_source import SourceFrame, VideoSource, open_source

from .export_model import export_model
from .inferencer import VISInferencer
from .session import TrackingSession
from .track_all import TrackAll, track_all

__all__ = [
    'SourceFrame',
    'TrackAll',
    'TrackingSession',
    'VISInferencer',
    'VideoSource',
    'export_model',
    'find_config',
    'open_source',
    'track_all',
]
