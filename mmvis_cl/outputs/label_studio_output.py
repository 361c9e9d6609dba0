"""The tracked video for Label Studio, to be corrected there."""

import json
import os
from collections.abc import Sequence

from mmvis_cl.files import whole_file
from mmvis_cl.structures.frame_result import FrameResult
from mmvis_cl.structures.mask_crops import mask_crops

from .output import Output


class LabelStudioOutput(Output):
    """A ``.json`` with one task, whose regions are tracks of boxes: its videos have no masks.

    Each frame has a keyframe, with the box of the mask in percent of the frame; one that is not
    ``enabled`` ends each stretch in which the identity is seen. Frames count from 1 there. Beside
    the box a keyframe has the mask, as COCO's compressed RLE under ``rle``. Label Studio shows
    nothing of it, but keeps it, so that ``label_studio_to_vis.py`` gets the mask of each box back
    that nobody moved. Boxes and RLE of all frames are kept until the end.

    Args:
        path: Ends in ``.json``.
        classes: The model's class names.
        name: File name of the video.
        fps: Its frames a second.
        length: Its frames; those up to the last one that was written, if None or fewer.

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
        length: int | None = None,
    ) -> None:
        super().__init__(path)
        self.classes = classes
        self.name = name
        self.fps = fps
        self._length = length or 0
        self._labels: dict[int, int] = {}
        self._scores: dict[int, float] = {}
        self._keyframes: dict[int, list[dict]] = {}

    def _write(self, frame: FrameResult) -> None:
        height, width = frame.image.shape[:2]
        self._length = max(self._length, frame.index + 1)
        for identity, label, score, rle, crop in zip(
            frame.identities.tolist(),
            frame.labels.tolist(),
            frame.scores.tolist(),
            frame.rles,
            mask_crops(frame.rles, (height, width)),
            strict=True,
        ):
            if not crop.area:
                continue
            self._labels[identity], self._scores[identity] = label, score
            keyframe = dict(
                frame=frame.index + 1,
                enabled=True,
                x=round(100 * crop.left / width, 6),
                y=round(100 * crop.top / height, 6),
                width=round(100 * crop.mask.shape[1] / width, 6),
                height=round(100 * crop.mask.shape[0] / height, 6),
                rotation=0,
                time=round(frame.index / self.fps, 6),
                rle=rle['counts'] if isinstance(rle['counts'], str) else rle['counts'].decode(),
            )
            self._keyframes.setdefault(identity, []).append(keyframe)

    def _finish(self) -> None:
        results = [
            dict(
                id=f'identity-{identity}',
                type='videorectangle',
                from_name='box',
                to_name='video',
                score=round(self._scores[identity], 5),
                value=dict(
                    framesCount=self._length,
                    duration=round(self._length / self.fps, 6),
                    sequence=_with_ends(keyframes),
                    labels=[self.classes[self._labels[identity]]],
                ),
            )
            for identity, keyframes in self._keyframes.items()
        ]
        task = dict(data=dict(video=self.name), annotations=[dict(result=results)])
        with whole_file(self.path, encoding='utf-8') as file:
            json.dump([task], file)

    def _clean_up(self) -> None:
        self._keyframes.clear()


def _with_ends(keyframes: list[dict]) -> list[dict]:
    """The identity goes after a keyframe that is followed by none in the next frame."""
    following = [*(keyframe['frame'] for keyframe in keyframes[1:]), None]
    return [
        dict(keyframe, enabled=after == keyframe['frame'] + 1)
        for keyframe, after in zip(keyframes, following, strict=True)
    ]
