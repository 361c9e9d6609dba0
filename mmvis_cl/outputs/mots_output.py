"""The tracked video in the text format of KITTI-MOTS and MOTS20."""

import os
from collections import Counter
from contextlib import suppress

import numpy as np
from pycocotools import mask as mask_util

from mmvis_cl.errors import InputError
from mmvis_cl.files import finish, unfinished_name
from mmvis_cl.structures.frame_result import FrameResult

from .output import Output

OF_A_CLASS = 1000  # numbers of a class; 0 is not used


class MOTSOutput(Output):
    """A ``.txt`` with a line an identity and frame: frame, object, class, height, width, RLE.

    The class is label + 1, the one that the identity had when it was first seen; the object is the
    class times 1000 and the identity's place among those of its class, from 1 on, so that none is
    10000, the format's region to be ignored. Frames are numbered as in the source. Masks of a frame
    have no pixel in common, as the format wants it: where they overlap, the better score has it.

    Args:
        path: Ends in ``.txt``.

    Raises:
        InputError: Nothing can be written there.
    """

    suffix = '.txt'

    def __init__(self, path: str | os.PathLike) -> None:
        super().__init__(path)
        self._object: dict[int, tuple[int, int]] = {}  # class and number of each identity
        self._seen: Counter[int] = Counter()
        self._part = unfinished_name(self.path)
        self._file = self._part.open('w', encoding='utf-8')

    def _write(self, frame: FrameResult) -> None:
        height, width = frame.image.shape[:2]
        better = None  # all pixels of those with better scores
        for i in np.argsort(-frame.scores, kind='stable').tolist():
            rle = frame.rles[i]
            if better is None:
                own = better = rle
            else:
                own = _without(rle, better)
                better = mask_util.merge([better, rle])
            if not mask_util.area(own):
                continue
            of_class, number = self._number(int(frame.identities[i]), int(frame.labels[i]) + 1)
            counts = own['counts'] if isinstance(own['counts'], str) else own['counts'].decode()
            self._file.write(f'{frame.index} {number} {of_class} {height} {width} {counts}\n')

    def _number(self, identity: int, of_class: int) -> tuple[int, int]:
        if identity not in self._object:
            self._seen[of_class] += 1
            if self._seen[of_class] == OF_A_CLASS:
                raise InputError(
                    f'{self.path}: the format has numbers for {OF_A_CLASS - 1} objects of a class, '
                    'there are more; track a shorter part, or take a higher --score-thr'
                )
            number = of_class * OF_A_CLASS + self._seen[of_class]
            self._object[identity] = of_class, number
        return self._object[identity]

    def _finish(self) -> None:
        self._file.close()
        finish(self._part, self.path)

    def _clean_up(self) -> None:
        with suppress(OSError):  # a full disk; the file is removed anyway
            self._file.close()
        self._part.unlink(missing_ok=True)


def _without(rle: dict, other: dict) -> dict:
    """The pixels of a mask that another one has not, as RLE."""
    mask = mask_util.decode(rle)
    mask[mask_util.decode(other) > 0] = 0
    left: dict = mask_util.encode(np.asfortranarray(mask))
    return left
