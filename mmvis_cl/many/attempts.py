"""What becomes of a video whose worker died: it is tried once more, alone, then set aside."""

from collections import deque
from collections.abc import Callable

from .job import Job
from .record import VideoRecord
from .store import Store
from .video import Video

MOST = 2


class Attempts:
    """The videos whose workers died.

    Args:
        job: Of the run.
        store: Takes the records of those that are set aside.
        finished: The record of a video if this run has finished it: its worker may have died
            between the last rename and its word on it.

    Attributes:
        alone: Videos that are to be tried again, one at a time, so that they harm no other.
        run_key: Of the job.
    """

    def __init__(
        self, job: Job, store: Store, finished: Callable[[Video], VideoRecord | None]
    ) -> None:
        self.alone: deque[Video] = deque()
        self.job, self.store, self._finished = job, store, finished
        self.run_key = job.key()
        self._deaths: dict[str, int] = {}

    def died(self, video: Video, reason: str, is_last: bool = False) -> VideoRecord | None:
        """Note down that a worker ended while it had a video.

        Args:
            video: The video.
            reason: Why it ended.
            is_last: It is not tried again.

        Returns:
            The record of the video, if it is set aside or was finished; None if it is in ``alone``.

        Raises:
            InputError: The record cannot be written.
        """
        finished = self._finished(video)
        if finished is not None:
            return finished
        deaths = self._deaths[video.id] = self._deaths.get(video.id, 0) + 1
        if deaths < MOST and not is_last:
            self.alone.append(video)
            return None
        record = VideoRecord(
            video.id,
            video.source,
            self.job.key_of(video, self.run_key),
            'failed',
            reason if is_last else f'{reason}; this was attempt {deaths}, the last',
            model=self.job.model,
        )
        self.store.publish(None, record)
        return record
