"""The tracked video as a table, a row an identity and frame."""

import csv
import os
from collections.abc import Sequence
from contextlib import suppress

from pycocotools import mask as mask_util

from mmvis_cl.files import finish, unfinished_name
from mmvis_cl.structures.frame_result import FrameResult

from .output import Output

COLUMNS = (
    *('frame', 'time', 'identity', 'class', 'score'),
    *('x1', 'y1', 'x2', 'y2', 'area', 'height', 'width', 'rle'),
)


class CSVOutput(Output):
    """A ``.csv`` for spreadsheets and pandas: frame, time, identity, class, score, box, area, mask.

    ``frame`` is the number in the source, ``time`` in seconds; the box is in pixels; ``rle`` is
    COCO's compressed RLE of the mask of ``height`` x ``width``. Rows go to the disk frame by frame.

    Args:
        path: Ends in ``.csv``.
        classes: The model's class names.

    Raises:
        InputError: Nothing can be written there.
    """

    suffix = '.csv'

    def __init__(self, path: str | os.PathLike, classes: Sequence[str]) -> None:
        super().__init__(path)
        self.classes = classes
        self._part = unfinished_name(self.path)
        # the csv module writes its own ends of lines
        self._file = self._part.open('w', encoding='utf-8', newline='')
        self._rows = csv.writer(self._file)
        self._rows.writerow(COLUMNS)

    def _write(self, frame: FrameResult) -> None:
        height, width = frame.image.shape[:2]
        for identity, label, score, box, rle in zip(
            frame.identities.tolist(),
            frame.labels.tolist(),
            frame.scores.tolist(),
            frame.bboxes.tolist(),
            frame.rles,
            strict=True,
        ):
            self._rows.writerow(
                (
                    *(frame.index, round(frame.time, 6), identity, self.classes[label]),
                    *(round(score, 5), *(round(value, 2) for value in box)),
                    *(int(mask_util.area(rle)), height, width, rle['counts']),
                )
            )

    def _finish(self) -> None:
        self._file.close()
        finish(self._part, self.path)

    def _clean_up(self) -> None:
        with suppress(OSError):  # a full disk; the file is removed anyway
            self._file.close()
        self._part.unlink(missing_ok=True)
