"""What is kept of one video while it is watched."""

import difflib
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from mmengine.structures import InstanceData

from mmvis_cl.datasets.video_source import SourceFrame, VideoSource, open_source
from mmvis_cl.errors import InputError
from mmvis_cl.models.detectors.deformable_detr import QueryStates
from mmvis_cl.models.vis.multi_scale_vis import merge_video_results
from mmvis_cl.models.vis.video_session import VideoSession
from mmvis_cl.structures import FrameResult, MergedResult, Track, VideoResult

from .pipeline import NetworkPass

if TYPE_CHECKING:
    from .inferencer import VISInferencer

Source = str | os.PathLike | int | Iterable[np.ndarray] | VideoSource


class TrackingSession:
    """What is kept of one video while it is watched; made by :meth:`VISInferencer.session`.

    >>> left, right = inferencer.session(), inferencer.session()
    >>> for a, b in zip(left.stream('left.mp4'), right.stream('right.mp4')):
    ...     print(a.identities, b.identities)
    >>> left.result, right.result

    or, with frames from anywhere, ``left.push([image])``.

    What it keeps is the memory bank and the RLE of what was found, nothing dense. The RLE of a
    video without end grows without end, by some hundred bytes for an object in a frame:
    :meth:`reset` forgets it.

    Attributes:
        name (str): ``video_id`` of the result.
        length (int): frames tracked.
    """

    def __init__(
        self,
        inferencer: 'VISInferencer',
        name: str | None,
        classes: Sequence[str] | None,
        score_thr: float | None,
    ) -> None:
        self._inferencer = inferencer
        self.name = name
        self._labels = None if classes is None else _labels_of(classes, inferencer.classes)
        self._score_thr = score_thr
        self.reset()

    def __repr__(self) -> str:
        """One line: whose video, and how far it is."""
        return f'TrackingSession({self.name or "video"!r}, {self.length} frames, {self.result!r})'

    def reset(self) -> None:
        """Forget the video; the next frame is the first of another."""
        self._runs: list[VideoSession] = []
        self._merged: MergedResult | None = None

    @property
    def length(self) -> int:
        """Frames tracked so far."""
        return self._runs[0].next_frame if self._runs else 0

    @property
    def result(self) -> VideoResult | None:
        """The tracks so far; None before the first frame.

        It grows with the next frames; with ``tta`` it does not, and further frames make another.
        """
        if not self._runs:
            return None
        if self._inferencer.merge_cfg is None:
            return self._runs[0].result
        merged = self._merged_result()
        return replace(merged, merged=self._selected(merged.merged))

    def _merged_result(self) -> MergedResult:
        """All tracks of all runs merged, nothing selected."""
        if self._merged is None or self._merged.length < self.length:
            results = [run.result for run in self._runs]
            longest = max(result.length for result in results)
            for result in results:  # after Ctrl-C some may be a pass behind
                result.length = longest
            self._merged = merge_video_results(results, **(self._inferencer.merge_cfg or {}))
        return self._merged

    def _selected(self, tracks: Iterable[Track]) -> list[Track]:
        """Those tracks of merged ones that the user wants."""
        return [
            track
            for track in tracks
            if (self._score_thr is None or track.score > self._score_thr)
            and (self._labels is None or track.label in self._labels)
        ]

    def push(self, images: Sequence[np.ndarray], fps: float = 6.0) -> list[FrameResult]:
        """Track the next frames of the video.

        Args:
            images: (H, W, 3) uint8 RGB each, all of a video of one size. They go through the
                network at once; one by one is the same but for rounding.
            fps: Frames a second, for the frames' ``time``.

        Returns:
            list[FrameResult]: one a frame.

        Raises:
            InputError: An image is none, or has another size than those before; or the model merges
                several sizes, which it can only do at a video's end.
        """
        if self._inferencer.merge_cfg is not None:
            raise InputError(
                'push: with tta the tracks are known at the end of a video only; use '
                'VISInferencer.stream or call it'
            )
        if not len(images):
            return []
        frames = [
            SourceFrame(self.length + i, (self.length + i) / fps, frame.image)
            for i, frame in enumerate(open_source(list(images)))
        ]
        ((_, found),) = self._track(iter([frames]))
        return self._results(frames, found)

    def stream(
        self,
        source: Source,
        *,
        start: int = 0,
        max_frames: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Generator[FrameResult, None, None]:
        """Track the frames of a source, as the next ones of the video; see the inferencer's."""
        source, ours = self._open(source, start, max_frames)
        merged = self._inferencer.merge_cfg is not None
        if merged and (self._runs or not source.rereadable):
            if ours:
                source.close()
            raise InputError(
                f'{source.name}: with tta a source is read twice, and this one can be read once '
                'only; record it first, or call the inferencer, which needs no second reading'
                if not self._runs
                else f'{source.name}: with tta a video must come from one source; reset() first'
            )

        def frames() -> Generator[FrameResult, None, None]:
            try:
                for images, instances in self._passes(source, progress):
                    if not merged:
                        yield from self._results(images, instances)
                if merged:
                    yield from self._merged_frames(source)
            finally:
                if ours:
                    source.close()

        return frames()

    def __call__(
        self,
        source: Source,
        *,
        start: int = 0,
        max_frames: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> VideoResult:
        """Track the frames of a source to the end; see the inferencer's."""
        source, ours = self._open(source, start, max_frames)
        try:
            for _ in self._passes(source, progress):
                pass
        finally:
            if ours:
                source.close()
        assert self.result is not None  # a source without frames is an error
        return self.result

    def _open(self, source: Source, start: int, max_frames: int | None) -> tuple[VideoSource, bool]:
        """The source, and whether it is ours to close."""
        if not isinstance(source, VideoSource):
            opened = open_source(source, start, max_frames)
        elif start or max_frames is not None:
            raise ValueError('start and max_frames go to open_source where a VideoSource is given')
        else:
            opened = source
        self.name = self.name or opened.name
        return opened, opened is not source

    def _passes(
        self, source: VideoSource, progress: Callable[[int], None] | None
    ) -> Iterator[tuple[list[SourceFrame], list[InstanceData]]]:
        """Track a source; the frames of each pass through the network and what is in them."""
        if source.rereadable:
            batches = _batches(source, self._inferencer.frames_per_pass)
            for frames, found in self._track(batches, ahead=True):
                if progress is not None:
                    progress(self.length)
                yield frames, found
            return
        # frames that come at their own pace are answered at once: none waits for the next one
        with closing(_batches(source, 1)) as batches:
            for batch in batches:
                yield from self._track(iter([batch]))
                if progress is not None:
                    progress(self.length)

    def _track(
        self, batches: Iterator[list[SourceFrame]], ahead: bool = False
    ) -> Iterator[tuple[list[SourceFrame], list[InstanceData]]]:
        """Bring all runs up to date; gives each batch and its identities in the first run."""
        found: list[InstanceData] = []
        passes = self._inferencer.passes(self._checked(batches), self.length, ahead)
        with closing(passes) as passes_with_states:
            for one, states in passes_with_states:
                instances = [self._associate(one, states, t) for t in range(len(one.frames))]
                if one.run == 0:
                    found = instances
                if one.is_last_run:
                    yield one.frames, found

    def _associate(self, one: NetworkPass, states: QueryStates, t: int) -> InstanceData:
        """Bring the run that a pass is of up to date by its frame ``t``; its identities."""
        if one.run == len(self._runs):
            size = one.frames[t].image.shape[:2]
            self._runs.append(self._start(size, one.samples[t].get('flip', False)))
        session, shape = self._runs[one.run], one.samples[t].img_shape
        return self._inferencer.model.track_frame(session, states, t, shape)

    def _checked(self, batches: Iterable[list[SourceFrame]]) -> Iterator[list[SourceFrame]]:
        for frames in batches:
            size = frames[0].image.shape[:2]
            if self._runs and self._runs[0].result.ori_shape != size:
                h, w = self._runs[0].result.ori_shape
                raise InputError(
                    f'{self.name or "video"}: a frame is {size[1]}x{size[0]} (width x height), '
                    f'those before are {w}x{h}; reset() the session for another video'
                )
            yield frames

    def _start(self, size: tuple[int, int], flip: bool) -> VideoSession:
        # how long the video is, is not known
        name = self.name or 'video'
        session = self._inferencer.model.start_video(name, 0, size, flip=flip)
        if self._inferencer.merge_cfg is None:  # else all tracks are merged, and then selected
            session.result.only_labels = self._labels
            if self._score_thr is not None:
                session.result.score_thr = self._score_thr
        return session

    def _results(
        self, frames: list[SourceFrame], instances: list[InstanceData]
    ) -> list[FrameResult]:
        score_thr = self._runs[0].result.score_thr
        results = []
        for frame, found in zip(frames, instances, strict=True):
            labels = found.labels.numpy()
            wanted = found.scores.numpy() > score_thr
            if self._labels is not None:
                wanted &= np.isin(labels, list(self._labels))
            index = np.flatnonzero(wanted)
            results.append(
                self._frame_result(
                    frame,
                    found.instances_id.numpy()[index],
                    labels[index],
                    found.scores.numpy()[index],
                    found.bboxes.numpy()[index],
                    [found.masks[i] for i in index],
                )
            )
        return results

    def _merged_frames(self, source: VideoSource) -> Iterator[FrameResult]:
        """The frames with the merged tracks; where some share an identity, the best of them."""
        best: dict[int, Track] = {}
        for track in self._merged_result().tracks:
            if track.identity not in best or track.score > best[track.identity].score:
                best[track.identity] = track
        selected = self._selected(best.values())
        for t, frame in enumerate(source):
            if t == self.length:  # the file grew between the readings
                return
            tracks = [track for track in selected if track.segmentations[t] is not None]
            yield self._frame_result(
                frame,
                [track.identity for track in tracks],
                [track.label for track in tracks],
                [track.score for track in tracks],
                [track.bboxes[t] for track in tracks],
                [track.segmentations[t] for track in tracks],
            )

    def _frame_result(
        self,
        frame: SourceFrame,
        identities: Sequence | np.ndarray,
        labels: Sequence | np.ndarray,
        scores: Sequence | np.ndarray,
        bboxes: Sequence | np.ndarray,
        rles: Sequence[dict],
    ) -> FrameResult:
        return FrameResult(
            frame.index,
            frame.time,
            frame.image,
            np.asarray(identities, np.int64),
            np.asarray(labels, np.int64),
            [self._inferencer.classes[label] for label in labels],
            np.asarray(scores, np.float32),
            np.asarray(bboxes, np.float32).reshape(-1, 4),
            list(rles),
        )


def _batches(source: VideoSource, size: int) -> Generator[list[SourceFrame], None, None]:
    """The frames of a source, so many at a time."""
    with closing(iter(source)) as frames:
        while batch := list(islice(frames, size)):
            yield batch


def _labels_of(names: Sequence[str], known: Sequence[str]) -> frozenset[int]:
    """The labels of class names."""
    if isinstance(names, str):
        names = [names]
    if not names:
        raise InputError('classes: none is named; leave it out for all classes')
    for name in names:
        if name not in known:
            lower = {k.lower(): k for k in known}
            close = difflib.get_close_matches(name.lower(), lower, n=1)
            raise InputError(
                f'the model does not know the class {name!r}'
                + (f'; did you mean {lower[close[0]]!r}?' if close else '')
                + f' It knows {", ".join(known)}'
            )
    return frozenset(known.index(name) for name in names)
