"""The masks of each frame as one image, as DAVIS has them."""

import logging
import os

import numpy as np
from PIL import Image

from mmvis_cl.errors import InputError
from mmvis_cl.files import check_empty_folder, whole_file
from mmvis_cl.structures.frame_result import FrameResult

from .output import Output

logger = logging.getLogger(__name__)


def davis_palette() -> np.ndarray:
    """The colours of DAVIS (and Pascal VOC): (256, 3) uint8, RGB; 0 is black.

    The bits of a number are dealt out in turn to red, green and blue, from the highest bit down.
    """
    index = np.arange(256)
    palette = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            palette[:, channel] |= ((index >> channel & 1) << (7 - bit)).astype(np.uint8)
        index >>= 3
    return palette


class PalettePNGOutput(Output):
    """A folder with an indexed PNG a frame, ``00000.png``, numbered as in the source.

    A pixel is 0 or the place of its identity in the order of appearance, from 1 on. Where masks
    overlap, the better score is on top. A frame that shows the 256th identity of the video or a
    later one is a 16-bit grey PNG with the same numbers, for a palette ends at 255.

    Args:
        path: Of the folder; absent or empty, so that nothing of another video is left in it.

    Raises:
        InputError: The folder is not empty, or cannot be made or written to.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        super().__init__(path)
        self._palette = davis_palette().tobytes()
        self._value_of: dict[int, int] = {}
        self._said = False

    @classmethod
    def check_path(cls, path: str | os.PathLike) -> None:
        """See :meth:`Output.check_path`; the folder is made."""
        check_empty_folder(path)

    def _write(self, frame: FrameResult) -> None:
        values = [
            self._value_of.setdefault(identity, len(self._value_of) + 1)
            for identity in frame.identities.tolist()
        ]
        most = max(values, default=0)
        if most > 65535:
            raise InputError(f'{self.path}: frame {frame.index} has the 65536th identity, too many')
        if most > 255 and not self._said:
            logger.warning(
                f'{self.path}: more than 255 identities; frames that show one of the later ones '
                'are 16-bit grey PNGs'
            )
            self._said = True
        canvas = np.zeros(frame.image.shape[:2], np.uint8 if most <= 255 else np.uint16)
        masks = frame.masks
        for i in np.argsort(frame.scores, kind='stable'):
            canvas[masks[i]] = values[i]
        image = Image.fromarray(canvas)
        if most <= 255:
            image.putpalette(self._palette)
        with whole_file(self.path / f'{frame.index:05d}.png', 'wb') as file:
            image.save(file, 'PNG')

    def _finish(self) -> None:
        pass  # each frame was finished when it was written

    def _clean_up(self) -> None:
        pass
