"""Which frames of a video are trained on together."""

import numpy as np
from mmdet.datasets.transforms import BaseFrameSample

from mmvis_cl.registry import TRANSFORMS


@TRANSFORMS.register_module()
class KeyRefFrameSample(BaseFrameSample):
    """Draws a key and a reference frame from a video, or a clip of more.

    A frame is drawn uniformly, then a different one, uniformly among those at most
    ``frame_range`` away; for a clip several of these, each on its own, so that one may come more
    than once. They are given in order of time, and the first is the key frame. A video of one frame
    gives that frame again and again.

    The first draw is skipped where the sampler has already made it (``key_frame_id`` in the video's
    information, e.g. mmdet's ``TrackImgSampler``).

    Args:
        frame_range: Largest distance from the frame that is drawn first, in frames, at least 1.
        num_frames: Frames of a clip, at least 2.
        **kwargs: Arguments of mmdet's ``BaseFrameSample``.
    """

    def __init__(self, frame_range: int = 10, num_frames: int = 2, **kwargs) -> None:
        super().__init__(**kwargs)
        if frame_range < 1:
            raise ValueError(f'frame_range must be at least 1, got {frame_range}')
        if num_frames < 2:
            raise ValueError(f'num_frames must be at least 2, got {num_frames}')
        self.frame_range = frame_range
        self.num_frames = num_frames

    def transform(self, video_infos: dict) -> dict:
        """Draws the frames.

        Args:
            video_infos: A video as `VISDataset` describes it, with its ``images``.

        Returns:
            A dict of lists of length ``num_frames``, key frame first, and ``key_frame_flags``.
        """
        length, others = video_infos['video_length'], self.num_frames - 1
        first = video_infos.get('key_frame_id')
        if first is None:
            first = np.random.randint(length)
        low = max(first - self.frame_range, 0)
        high = min(first + self.frame_range, length - 1)
        drawn = np.full(others, first)
        if high > low:
            drawn = np.random.randint(low, high, others)
            drawn += drawn >= first
        frames = sorted((int(first), *drawn.tolist()))
        results = self.prepare_data(video_infos, frames)
        results['key_frame_flags'] = [True] + [False] * others
        return results

    def __repr__(self) -> str:
        return (
            f'{self.__class__.__name__}(frame_range={self.frame_range}, '
            f'num_frames={self.num_frames})'
        )
