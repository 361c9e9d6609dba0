"""From a frame to its size in the network, as the file says."""

import logging

import mmcv
from mmdet.datasets.transforms import Resize

from .description import Description

logger = logging.getLogger(__name__)
_BACKENDS = dict(AlignedResize='pillow', Resize='cv2')


class FittingResize(Resize):
    """A resize whose frames are never larger than a file takes them.

    Args:
        fit (list[int] | None): the most height and width; None: any.
        **kwargs: of mmdet's ``Resize``.
    """

    def __init__(self, fit: list[int] | None, **kwargs) -> None:
        super().__init__(**kwargs)
        self.fit = fit
        self._told = False

    def _resize_img(self, results: dict) -> None:
        h, w = results['img'].shape[:2]
        width, height = self.scale
        if self.keep_ratio:
            width, height = mmcv.rescale_size((w, h), self.scale)
        if self.fit is not None and (height > self.fit[0] or width > self.fit[1]):
            most_high, most_wide = self.fit
            if self.keep_ratio:
                results['scale'] = min(most_high / h, most_wide / w)
            else:
                results['scale'] = min(width, most_wide), min(height, most_high)
            if not self._told:
                logger.warning(
                    'frames are made smaller than %dx%d (height x width), as the training wants '
                    'them, to fit into the %dx%d of the model file',
                    *(height, width, most_high, most_wide),
                )
                self._told = True
        super()._resize_img(results)


def pipeline_of(description: Description) -> list[dict]:
    """The steps from a frame to the network, as a test pipeline has them."""
    resize = description.resize
    step = dict(
        type=FittingResize,
        fit=description.size,
        backend=_BACKENDS[resize['type']],
        scale=tuple(resize['scale']),
        keep_ratio=resize['keep_ratio'],
    )
    return [
        dict(type='TransformBroadcaster', transforms=[step]),
        dict(type='mmvis_cl.PackVISInputs'),
    ]
