"""Which two frames of a video are trained on together."""

import numpy as np
from mmdet.datasets.transforms import BaseFrameSample

from mmvis_cl.registry import TRANSFORMS


@TRANSFORMS.register_module()
class KeyRefFrameSample(BaseFrameSample):
    """Draws a key and a reference frame from a video.

    A frame is drawn uniformly, then a different one, uniformly among those at most
    ``frame_range`` away. The earlier of the two is the key frame and comes first. A video of one
    frame gives that frame twice.

    The first draw is skipped where the sampler has already made it (``key_frame_id`` in the video's
    information, e.g. mmdet's ``TrackImgSampler``).

    Args:
        frame_range: Largest distance between the two frames, in frames, at least 1.
        **kwargs: Arguments of mmdet's ``BaseFrameSample``.
    """

    def __init__(self, frame_range: int = 10, **kwargs) -> None:
        super().__init__(**kwargs)
        if frame_range < 1:
            raise ValueError(f'frame_range must be at least 1, got {frame_range}')
        self.frame_range = frame_range

    def transform(self, video_infos: dict) -> dict:
        """Draws the pair.

        Args:
            video_infos: A video as `VISDataset` describes it, with its ``images``.

        Returns:
            A dict of lists of length 2, key frame first, and ``key_frame_flags``.
        """
        length = video_infos['video_length']
        first = video_infos.get('key_frame_id')
        if first is None:
            first = np.random.randint(length)
        low = max(first - self.frame_range, 0)
        high = min(first + self.frame_range, length - 1)
        second = first
        if high > low:
            second = np.random.randint(low, high)
            second += second >= first
        pair = sorted((int(first), int(second)))
        results = self.prepare_data(video_infos, pair)
        results['key_frame_flags'] = [True, False]
        return results

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}(frame_range={self.frame_range})'
