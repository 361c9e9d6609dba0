"""From frames in memory to what the model takes, by a config's test pipeline."""

import numpy as np
from mmcv.transforms import Compose, LoadAnnotations, LoadImageFromFile

from mmvis_cl.errors import InputError
from mmvis_cl.registry import TRANSFORMS


class FramePipeline:
    """A config's test pipeline for frames that are in memory.

    Args:
        steps (list[dict]): the transforms of the config.
    """

    def __init__(self, steps: list[dict]) -> None:
        self._to_float32 = False
        self._transforms = Compose(
            [TRANSFORMS.build(step) for step in self._without_loading(steps)]
        )

    def _without_loading(self, steps: list[dict]) -> list[dict]:
        kept = []
        for step in steps:
            kind = step['type'] if isinstance(step['type'], type) else TRANSFORMS.get(step['type'])
            if kind is None:
                raise InputError(f'test pipeline: there is no transform {step["type"]!r}')
            if issubclass(kind, LoadImageFromFile):
                if step.get('color_type', 'color') != 'color':
                    raise InputError(
                        f'test pipeline: {step["type"]} with color_type={step["color_type"]!r}; '
                        "VISInferencer gives colours, use 'color'"
                    )
                self._to_float32 = step.get('to_float32', False)
            elif not issubclass(kind, LoadAnnotations):
                if 'transforms' in step and all('type' in t for t in step['transforms']):
                    step = dict(step, transforms=self._without_loading(step['transforms']))
                kept.append(step)
        return kept

    def __call__(self, images: list[np.ndarray], first: int) -> list[tuple]:
        """Frames as the network takes them.

        Args:
            images (list[ndarray]): T frames (H, W, 3) uint8 RGB of one size.
            first (int): number of the first of them in the video.

        Returns:
            list[tuple]: of each run (one a size, with multi-scale testing) the frames, a tensor
            (T, 3, h, w), and a ``TrackDataSample``.
        """
        n = len(images)
        shape = images[0].shape[:2]
        frames = [np.ascontiguousarray(image[..., ::-1]) for image in images]
        if self._to_float32:
            frames = [frame.astype(np.float32) for frame in frames]
        numbers = list(range(first, first + n))
        packed = self._transforms(
            dict(
                img=frames,
                img_path=[None] * n,
                img_shape=[shape] * n,
                ori_shape=[shape] * n,
                height=[shape[0]] * n,
                width=[shape[1]] * n,
                img_id=numbers,
                frame_id=numbers,
                video_id=[0] * n,
                video_length=[n] * n,
                homography_matrix=[np.eye(3, dtype=np.float32) for _ in frames],
            )
        )
        inputs, samples = packed['inputs'], packed['data_samples']
        if not isinstance(inputs, (list, tuple)):
            inputs, samples = [inputs], [samples]
        return list(zip(inputs, samples, strict=True))
