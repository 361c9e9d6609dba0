"""Several videos at once: frames of those of one size go through the network together."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing

from mmvis_cl.datasets.video_source import SourceFrame, VideoSource
from mmvis_cl.errors import InputError
from mmvis_cl.structures import FrameResult

from .inferencer import VISInferencer
from .session import TrackingSession


class TogetherVideo:
    """A video among several, each with a session of its own.

    Args:
        session: Of the video.
        source: Its frames.

    Attributes:
        error: What ended it too early.
        is_read: No frame of it will come any more.
        given: Frames that went to the network.
        tracked: Frames that came back.
    """

    def __init__(self, session: TrackingSession, source: VideoSource) -> None:
        self.session, self.size = session, source.size
        self.error: InputError | None = None
        self.is_read = False
        self.given = self.tracked = 0
        self._frames = iter(source)
        self._next = self._read()

    def _read(self) -> SourceFrame | None:
        try:
            return next(self._frames)
        except StopIteration:
            pass
        except InputError as error:
            self.error = error
        self.is_read = True
        return None

    def take(self, most: int) -> 'Iterator[OwnedFrame]':
        """Its next frames. With the last of them it is known that it is the last."""
        for _ in range(most):
            frame = self._next
            if frame is None:
                return
            self.given += 1  # before it is known to be the last: another thread looks at both
            self._next = self._read()
            owned = OwnedFrame(*frame)
            owned.video = self
            yield owned

    def stop(self) -> None:
        """Read no further; what went to the network comes back."""
        self._next, self.is_read = None, True


class OwnedFrame(SourceFrame):
    """A frame that knows whose it is.

    Attributes:
        video: Whose.
    """

    video: TogetherVideo


def stream_together(
    inferencer: VISInferencer,
    next_video: Callable[[], TogetherVideo | None],
    most: int,
) -> Generator[tuple[TogetherVideo, FrameResult | None], None, None]:
    """Track several videos at once, until none is left and none is there that could begin.

    Each pass through the network has frames of videos of one size, of each as many as the others;
    the sizes take turns. Results are those of each video alone but for rounding.

    Args:
        inferencer: The model; without ``tta``.
        next_video: Gives the next video that is there, or None. Asked whenever one has ended.
        most: Videos at once.

    Yields:
        A video and its next frame; a video and None at its end, early if it has an ``error``.
    """
    begun: list[TogetherVideo] = []

    def batches() -> Iterator[list[SourceFrame]]:
        turn = 0
        while True:
            active = [video for video in begun if not video.is_read]
            while len(active) < most and (video := next_video()) is not None:
                begun.append(video)
                active += [] if video.is_read else [video]
            if not active:
                return
            sizes = sorted({video.size for video in active})
            size = sizes[turn % len(sizes)]
            turn += 1
            group = [video for video in active if video.size == size]
            each = max(1, inferencer.frames_per_pass // len(group))
            batch: list[SourceFrame] = [f for video in group for f in video.take(each)]
            if batch:
                yield batch

    with closing(inferencer.passes(batches(), ahead=True)) as passes:
        for one, states in passes:
            for t, frame in enumerate(one.frames):
                assert isinstance(frame, OwnedFrame)
                video = frame.video
                found = video.session._associate(one, states, t)
                (result,) = video.session._results([frame], [found])
                video.tracked += 1
                yield video, result
            yield from _ended(begun)
    yield from _ended(begun)


def _ended(begun: list[TogetherVideo]) -> Iterator[tuple[TogetherVideo, None]]:
    """Those that are over, which are taken out."""
    for video in list(begun):
        if video.is_read and video.tracked == video.given:
            begun.remove(video)
            yield video, None
