"""What does the work of a run: processes of this machine, this process, or a cluster."""

from collections.abc import Callable, Generator, Sequence
from typing import Protocol

from .attempts import Attempts
from .job import Job
from .record import VideoRecord
from .store import Store
from .video import Video

# Takes the number of a worker, the id of its video and how many frames are done.
Watch = Callable[[int, str, int], None]


class Engine(Protocol):
    """Tracks videos by workers."""

    def run(
        self, videos: Sequence[Video], attempts: Attempts, watch: Watch
    ) -> Generator[VideoRecord, None, None]:
        """Track videos.

        Args:
            videos: In the order in which they are begun.
            attempts: Decides what becomes of the videos of a worker that died.
            watch: Is told how far videos are.

        Yields:
            The record of each video as it ends.

        Raises:
            InputError: No worker can begin, or results cannot be written.
        """


class InThisProcess:
    """A worker in this process: for debuggers, and for what only this process can see.

    Args:
        job: Of the worker.
        store: Where the results go.
        device: Of the model.
    """

    def __init__(self, job: Job, store: Store, device: str | None = None) -> None:
        self._job, self._store, self._device = job, store, device

    def run(
        self, videos: Sequence[Video], attempts: Attempts, watch: Watch
    ) -> Generator[VideoRecord, None, None]:
        """See :class:`Engine`; what would end a worker ends this process."""
        from .worker import Worker

        worker = Worker(self._job, self._device, self._store)
        left = iter(videos)
        yield from worker.track_all(
            lambda wait: next(left, None), lambda video_id, frames: watch(0, video_id, frames)
        )
