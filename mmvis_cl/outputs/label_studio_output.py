"""The tracked video for Label Studio, to be corrected there."""

import json
import os
from collections.abc import Sequence

from mmvis_cl.files import whole_file
from mmvis_cl.structures.frame_result import FrameResult

from .output import Output

BOX = 'x', 'y', 'width', 'height'


class LabelStudioOutput(Output):
    """A ``.json`` with one task, whose regions are tracks of boxes: videos have no masks there.

    Each frame has a keyframe; one that is not ``enabled`` ends each stretch in which the identity
    is seen. Frames count from 1 there, boxes are in percent of the frame. What is corrected comes
    back by ``label_studio_to_vis.py``. Boxes of all frames are kept until the end.

    Args:
        path: Ends in ``.json``.
        classes: The model's class names.
        name: File name of the video.
        fps: Its frames a second.

    Raises:
        InputError: Nothing can be written there.
    """

    suffix = '.json'

    def __init__(
        self, path: str | os.PathLike, classes: Sequence[str], name: str, fps: float
    ) -> None:
        super().__init__(path)
        self.classes = classes
        self.name = name
        self.fps = fps
        self._last = -1
        self._labels: dict[int, int] = {}
        self._scores: dict[int, float] = {}
        self._boxes: dict[int, dict[int, list[float]]] = {}

    def _write(self, frame: FrameResult) -> None:
        height, width = frame.image.shape[:2]
        self._last = frame.index
        for identity, label, score, (x1, y1, x2, y2) in zip(
            frame.identities.tolist(),
            frame.labels.tolist(),
            frame.scores.tolist(),
            frame.bboxes.tolist(),
            strict=True,
        ):
            self._labels[identity], self._scores[identity] = label, score
            self._boxes.setdefault(identity, {})[frame.index] = [
                100 * x1 / width,
                100 * y1 / height,
                100 * (x2 - x1) / width,
                100 * (y2 - y1) / height,
            ]

    def _finish(self) -> None:
        count = self._last + 1
        results = [
            dict(
                id=f'identity-{identity}',
                type='videorectangle',
                from_name='box',
                to_name='video',
                score=round(self._scores[identity], 5),
                value=dict(
                    framesCount=count,
                    duration=count / self.fps if self.fps else None,
                    sequence=self._sequence(boxes),
                    labels=[self.classes[self._labels[identity]]],
                ),
            )
            for identity, boxes in self._boxes.items()
        ]
        task = dict(
            data=dict(video=self.name),
            annotations=[dict(result=results)],
        )
        with whole_file(self.path, encoding='utf-8') as file:
            json.dump([task], file)

    def _sequence(self, boxes: dict[int, list[float]]) -> list[dict]:
        sequence = []
        for frame, box in boxes.items():
            goes = frame + 1 not in boxes
            sequence.append(
                dict(
                    zip(
                        ('x', 'y', 'width', 'height'), [round(side, 6) for side in box], strict=True
                    ),
                    frame=frame + 1,
                    enabled=not goes,
                    rotation=0,
                    time=round(frame / self.fps, 6) if self.fps else 0,
                )
            )
        return sequence

    def _clean_up(self) -> None:
        self._boxes.clear()
