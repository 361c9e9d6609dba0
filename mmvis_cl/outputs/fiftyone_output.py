"""The tracked video for FiftyOne, to be looked at and searched there."""

import base64
import io
import json
import os
import shutil
import zlib
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import numpy as np

from mmvis_cl.files import (
    check_empty_folder,
    check_room,
    finish,
    fitting_name,
    unfinished_name,
    whole_file,
)
from mmvis_cl.structures.frame_result import FrameResult
from mmvis_cl.structures.mask_crops import MaskCrop, mask_crops
from mmvis_cl.visualization import VideoWriter

from .output import Output

DATA, LABELS, MANIFEST = 'data', 'labels', 'manifest.json'


class FiftyOneOutput(Output):
    """A folder in FiftyOne's format ``FiftyOneVideoLabelsDataset``, which it imports as it is.

    ``manifest.json`` names the video in ``data/`` and what was found in ``labels/``: for each frame
    its objects with label, box, mask, confidence, and the identity as ``index``. A video file is
    copied, so that the numbers of frames are those of the source (from 1 on, as FiftyOne counts);
    of anything else the frames that were tracked become an ``.mp4``, and number 1 is the first of
    them. ``source_frame`` of a frame is its number in the source, from 0 on. Labels go to the disk
    frame by frame.

    Args:
        path: Of the folder; absent or empty.
        classes: The model's class names.
        name: Of the video.
        fps: Its frames a second.
        file: The video file; None if there is none.
        sample_aspect_ratio: See :class:`VideoWriter`.

    Raises:
        InputError: The folder is not empty, cannot be made or written to, or has no room.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        classes: Sequence[str],
        name: str,
        fps: float,
        file: str | os.PathLike | None = None,
        sample_aspect_ratio: Fraction | int = 1,
    ) -> None:
        super().__init__(path)
        self.classes = classes
        self.file = file
        if file is not None:
            check_room(path, os.path.getsize(file), 'the copy of the video')
        suffix = '.mp4' if file is None else Path(file).suffix
        self._video = Path(DATA, fitting_name(name, suffix, path))
        self._labels = Path(LABELS, fitting_name(name, '.json', path))
        (self.path / LABELS).mkdir()
        (self.path / DATA).mkdir()
        self._part = unfinished_name(self.path / self._labels)
        self._json = self._part.open('w', encoding='utf-8')
        self._json.write('{"frames": {')
        self._writer = None
        if file is None:
            self._writer = VideoWriter(
                self.path / self._video, fps=fps, sample_aspect_ratio=sample_aspect_ratio
            )
            self._writer.open()

    @classmethod
    def check_path(cls, path: str | os.PathLike) -> None:
        """See :meth:`Output.check_path`; the folder is made."""
        check_empty_folder(path)

    def _write(self, frame: FrameResult) -> None:
        number = frame.index + 1
        if self._writer is not None:
            self._writer.write(frame.image, time=frame.time)
            number = self.frames + 1
        size = frame.image.shape[0], frame.image.shape[1]
        objects = [
            dict(
                type='eta.core.objects.DetectedObject',
                label=self.classes[label],
                bounding_box=_box(crop, size),
                mask=_text_of(crop.mask),
                confidence=round(score, 5),
                index=identity,
                frame_number=number,
            )
            for identity, label, score, crop in zip(
                frame.identities.tolist(),
                frame.labels.tolist(),
                frame.scores.tolist(),
                mask_crops(frame.rles, size),
                strict=True,
            )
            if crop.area
        ]
        source_frame = dict(
            type='eta.core.data.NumericAttribute', name='source_frame', value=frame.index
        )
        content = dict(
            frame_number=number,
            attrs=dict(attrs=[source_frame]),
            objects=dict(objects=objects),
        )
        self._json.write(f'{"," if self.frames else ""}\n"{number}": {json.dumps(content)}')

    def _finish(self) -> None:
        self._json.write('\n}}\n')
        self._json.close()
        finish(self._part, self.path / self._labels)
        if self._writer is not None:
            self._writer.close()
        elif self.file is not None:
            with (
                open(self.file, 'rb') as source,
                whole_file(self.path / self._video, 'wb') as file,
            ):
                shutil.copyfileobj(source, file, 1 << 24)
        index = [dict(data=self._video.as_posix(), labels=self._labels.as_posix())]
        manifest = dict(description='', type='eta.core.datasets.LabeledVideoDataset', index=index)
        with whole_file(self.path / MANIFEST) as file:
            json.dump(manifest, file)

    def _clean_up(self) -> None:
        with suppress(OSError):  # a full disk; the file is removed anyway
            self._json.close()
        self._part.unlink(missing_ok=True)
        if self._writer is not None:
            self._writer.discard()
        if not os.path.exists(self.path / MANIFEST):
            for name in (DATA, LABELS):
                shutil.rmtree(self.path / name, ignore_errors=True)


def _box(crop: MaskCrop, size: tuple[int, int]) -> dict:
    """Of a mask, in parts of the frame."""
    height, width = size
    h, w = crop.mask.shape
    return dict(
        top_left=dict(x=crop.left / width, y=crop.top / height),
        bottom_right=dict(x=(crop.left + w) / width, y=(crop.top + h) / height),
    )


def _text_of(mask: np.ndarray) -> str:
    """As FiftyOne's library ETA keeps arrays: NumPy's format, packed by zlib, in base 64."""
    file = io.BytesIO()
    np.save(file, mask > 0)
    return base64.b64encode(zlib.compress(file.getvalue())).decode()
