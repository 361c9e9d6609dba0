"""What a video's results are made of."""

from .mask_rle import encode_masks, mask_logits_to_image
from .video_result import Track, VideoResult

__all__ = ['Track', 'VideoResult', 'encode_masks', 'mask_logits_to_image']
