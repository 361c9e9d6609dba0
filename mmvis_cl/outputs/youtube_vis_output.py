"""The tracks as a result file of YouTube-VIS."""

import json
import os
from collections.abc import Callable, Sequence

from mmvis_cl.files import whole_file
from mmvis_cl.structures import VideoResult
from mmvis_cl.structures.frame_result import FrameResult

from .output import Output


class YouTubeVISOutput(Output):
    """A ``.json`` that ``mmvis-cl eval`` and the challenge's server read.

    A list of tracks: ``video_id``, ``category_id``, ``score`` and ``segmentations``, an RLE or null
    for each frame that was written. The score is the track's mean over time and every plausible
    class of an identity is a track of its own, so the file is made at the end, from the video's
    result, whose RLE are in memory anyway.

    Args:
        path: Ends in ``.json``.
        video_result: Gives the result of the video when it is over, None if it had no frames; its
            frame 0 is the first frame that was written.
        video_id: The video's id in the annotation file.
        category_ids: Of each label; label + 1 if None, as in YouTube-VIS and OVIS.
        classes: Name of each label. Each track has its name as ``category``, so that the file says
            which id is which; readers of the format do not look at it.

    Raises:
        InputError: Nothing can be written there.
    """

    suffix = '.json'

    def __init__(
        self,
        path: str | os.PathLike,
        video_result: Callable[[], VideoResult | None],
        video_id: int | str = 1,
        category_ids: Sequence[int | str] | None = None,
        classes: Sequence[str] | None = None,
    ) -> None:
        super().__init__(path)
        self.video_result = video_result
        self.video_id = video_id
        self.category_ids = category_ids
        self.classes = classes

    def _write(self, frame: FrameResult) -> None:
        pass  # the result has it

    def _finish(self) -> None:
        with whole_file(self.path) as file:
            file.write('[')
            separator = ''
            result = self.video_result()
            for track in [] if result is None else result.tracks:
                # Frames that were tracked but not written any more are left out: they go through
                # the network several at a time.
                segmentations = track.segmentations[: self.frames]
                segmentations += [None] * (self.frames - len(segmentations))
                if not any(segmentations):
                    continue
                entry = dict(
                    video_id=self.video_id,
                    category_id=self._category_id(track.label),
                    score=track.score,
                    segmentations=segmentations,
                )
                if self.classes is not None:
                    entry['category'] = self.classes[track.label]
                file.write(separator + json.dumps(entry))
                separator = ',\n'
            file.write(']\n')

    def _category_id(self, label: int) -> int | str:
        return label + 1 if self.category_ids is None else self.category_ids[label]

    def _clean_up(self) -> None:
        pass  # the file is made in one go
