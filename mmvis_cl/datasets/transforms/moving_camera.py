"""Camera motion over the frames of an image: a window that moves, and a horizon that tilts.

CTVIS's pseudo clips. Both take a clip, a dict of lists, not the single frames in a
``TransformBroadcaster``: what changes from frame to frame is drawn for all of them at once.
"""

from collections.abc import Iterator

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.datasets.transforms import RandomCrop
from mmdet.structures.bbox import autocast_box_type

from mmvis_cl.registry import TRANSFORMS


def _either_way(steps: np.ndarray) -> np.ndarray:
    return steps[::-1] if np.random.rand() < 0.5 else steps


def _frames(clip: dict, length: int) -> Iterator[dict]:
    for t in range(length):
        yield {key: values[t] for key, values in clip.items()}


def _clip(frames: list[dict]) -> dict:
    return {key: [frame[key] for frame in frames] for key in frames[0]}


@TRANSFORMS.register_module()
class MovingCrop(RandomCrop):
    """Cuts a window of one random size, whose place moves along a line.

    The line begins anywhere and ends further right and down; the places are random steps on it, in
    order, and with a probability of one half the motion goes the other way.

    Args:
        **kwargs: Of mmdet's ``RandomCrop``. Crops without objects are allowed.
    """

    def transform(self, clip: dict) -> dict:
        """Crops the frames.

        Args:
            clip: A dict of lists of T frames of one size, with ``img`` and, of objects,
                ``gt_bboxes``, ``gt_masks`` and what goes with them.

        Returns:
            The clip.
        """
        length, size = len(clip['img']), clip['img'][0].shape[:2]
        window = self._get_crop_size(size)
        margin = np.subtract(size, window)
        begin = np.random.uniform(0, margin)
        end = np.random.uniform(begin, margin)
        steps = _either_way(np.sort(np.random.rand(length)))[:, None]
        places = np.rint(begin + steps * (end - begin)).astype(int)
        frames = zip(_frames(clip, length), places.tolist(), strict=True)
        return _clip([self._crop_at(frame, window, place) for frame, place in frames])

    @autocast_box_type()
    def _crop_at(self, frame: dict, window: tuple[int, int], place: list[int]) -> dict:
        self._place = place
        return self._crop_data(frame, window, allow_negative_crop=True)

    def _rand_offset(self, margin: tuple[int, int]) -> tuple[int, int]:
        return tuple(self._place)


@TRANSFORMS.register_module()
class MovingRotation(BaseTransform):
    """Turns the frames around one point, each by an angle that grows or falls over time.

    The angles are drawn uniformly and sorted; the point lies in the middle fifth. The canvas keeps
    its size, with black around the image. Boxes stay as they are: put `BoxesFromMasks` after it.

    Args:
        max_angle: Largest angle to either side, in degrees.
    """

    def __init__(self, max_angle: float = 15.0) -> None:
        self.max_angle = max_angle

    def transform(self, clip: dict) -> dict:
        """Turns images and masks.

        Args:
            clip: A dict of lists of T frames of one size, with ``img`` and ``gt_masks``.

        Returns:
            The clip.
        """
        images = clip['img']
        height, width = images[0].shape[:2]
        angles = np.sort(np.random.uniform(-self.max_angle, self.max_angle, len(images)))
        angles = _either_way(angles).tolist()
        x, y = np.random.uniform(0.4, 0.6, 2)
        center = x * width, y * height
        turned = [
            mmcv.imrotate(image, angle, center=center)
            for image, angle in zip(images, angles, strict=True)
        ]
        masks = [
            of.rotate((height, width), angle, center=center) if len(of) else of
            for of, angle in zip(clip['gt_masks'], angles, strict=True)
        ]
        return dict(clip, img=turned, gt_masks=masks)

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}(max_angle={self.max_angle})'
