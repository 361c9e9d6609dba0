"""What a video's results are made of."""

from .frame_result import FrameResult
from .mask_rle import (
    encode_logits,
    encode_masks,
    encode_with_quality,
    mask_logits_to_image,
    vote_on_masks,
)
from .video_result import MergedResult, Track, VideoResult

__all__ = [
    'FrameResult',
    'MergedResult',
    'Track',
    'VideoResult',
    'encode_logits',
    'encode_masks',
    'encode_with_quality',
    'mask_logits_to_image',
    'vote_on_masks',
]
