"""The tracked video as an annotation file."""

import json
import os
from collections.abc import Sequence
from contextlib import suppress

from pycocotools import mask as mask_util

from mmvis_cl.files import finish, unfinished_name
from mmvis_cl.structures.frame_result import FrameResult

from .output import Output


class COCOVideoOutput(Output):
    """A COCO-video ``.json``: ``videos``, ``images``, ``annotations``, ``categories``.

    An annotation is an identity in a frame: ``segmentation`` (RLE), ``bbox`` (x, y, w, h), ``area``
    (pixels), ``category_id``, ``score``, and the identity as ``instance_id`` and
    ``track_id``. Category and score are what was known at that frame. An image has ``frame_id``,
    from 0 on, ``source_frame``, its number in the source, and ``time`` in seconds. Annotations go
    to the disk frame by frame; only the list of images is kept.

    Args:
        path: Ends in ``.json``.
        classes: The model's class names.
        name: Of the video; ``file_name`` of an image is ``NAME/SOURCE_FRAME.jpg``.
        fps: Frames a second of the source.
        video_id: Of the video.
        category_ids: Of each label; label + 1 if None.

    Raises:
        InputError: Nothing can be written there.
    """

    suffix = '.json'

    def __init__(
        self,
        path: str | os.PathLike,
        classes: Sequence[str],
        name: str,
        fps: float,
        video_id: int | str = 1,
        category_ids: Sequence[int | str] | None = None,
    ) -> None:
        super().__init__(path)
        self.classes = classes
        self.name = name
        self.fps = fps
        self.video_id = video_id
        self.category_ids = category_ids or range(1, len(classes) + 1)
        self._size: tuple[int, ...] | None = None
        self._images: list[dict] = []
        self._annotations = 0
        self._part = unfinished_name(self.path)
        self._file = self._part.open('w', encoding='utf-8')
        self._file.write('{"annotations": [')

    def _write(self, frame: FrameResult) -> None:
        height, width = self._size = frame.image.shape[:2]
        image_id = len(self._images) + 1
        self._images.append(
            dict(
                id=image_id,
                video_id=self.video_id,
                frame_id=image_id - 1,
                source_frame=frame.index,
                time=round(frame.time, 6),
                file_name=f'{self.name}/{frame.index:05d}.jpg',
                height=height,
                width=width,
            )
        )
        # one by one: pycocotools counts the masks of a call in 8 bits
        areas = [int(mask_util.area(rle)) for rle in frame.rles]
        for identity, label, score, (x1, y1, x2, y2), rle, area in zip(
            frame.identities.tolist(),
            frame.labels.tolist(),
            frame.scores.tolist(),
            frame.bboxes.tolist(),
            frame.rles,
            areas,
            strict=True,
        ):
            self._file.write(',\n' if self._annotations else '\n')
            self._annotations += 1
            annotation = dict(
                id=self._annotations,
                image_id=image_id,
                video_id=self.video_id,
                category_id=self.category_ids[label],
                instance_id=identity,
                track_id=identity,
                score=round(score, 5),
                bbox=[round(value, 2) for value in (x1, y1, x2 - x1, y2 - y1)],
                area=area,
                iscrowd=0,
                segmentation=rle,
            )
            self._file.write(json.dumps(annotation))

    def _finish(self) -> None:
        height, width = self._size or (0, 0)
        video = dict(
            id=self.video_id,
            name=self.name,
            fps=self.fps,
            length=len(self._images),
            height=height,
            width=width,
        )
        categories = [
            dict(id=i, name=name) for i, name in zip(self.category_ids, self.classes, strict=True)
        ]
        self._file.write('\n],\n"images": ')
        self._file.write(json.dumps(self._images))
        self._file.write(f',\n"videos": {json.dumps([video])}')
        self._file.write(f',\n"categories": {json.dumps(categories)}}}\n')
        self._file.close()
        finish(self._part, self.path)

    def _clean_up(self) -> None:
        with suppress(OSError):  # a full disk; the file is removed anyway
            self._file.close()
        self._part.unlink(missing_ok=True)
