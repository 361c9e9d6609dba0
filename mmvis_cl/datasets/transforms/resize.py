"""Resizing in which images and masks stay aligned."""

import mmcv
import numpy as np
from mmdet.datasets.transforms import Resize
from mmdet.structures.mask import BitmapMasks

from mmvis_cl.registry import TRANSFORMS


@TRANSFORMS.register_module()
class AlignedResize(Resize):
    """mmdet's ``Resize`` done by Pillow for images and masks.

    Images are resized bilinearly with antialiasing, exactly as ``PIL.Image.resize`` does. Masks
    take the nearest pixel *by centres*. OpenCV's nearest, mmdet's only choice for masks, goes by
    upper left corners instead, which moves a mask against its image: by a third of a pixel where a
    frame is shrunk to a third.

    Args:
        scale: Target (long side, short side) or (width, height) in pixels, see mmdet's ``Resize``.
        keep_ratio: Whether to keep the aspect ratio; the image is then made as large as fits.
        **kwargs: Other arguments of mmdet's ``Resize``.
    """

    def __init__(
        self,
        scale: int | tuple[int, int] | None = None,
        keep_ratio: bool = True,
        **kwargs,
    ) -> None:
        super().__init__(scale=scale, keep_ratio=keep_ratio, backend='pillow', **kwargs)

    def _resize_masks(self, results: dict) -> None:
        if results.get('gt_masks') is None:
            return
        height, width = results['img_shape']
        masks = [
            mmcv.imresize(mask, (width, height), interpolation='nearest', backend='pillow')
            for mask in results['gt_masks'].masks
        ]
        results['gt_masks'] = BitmapMasks(
            np.stack(masks) if masks else np.zeros((0, height, width), np.uint8), height, width
        )
