"""A run over many videos: what is left to do, who does it, and what came of it."""

import json
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from mmvis_cl.errors import InputError
from mmvis_cl.version import __version__

from .attempts import Attempts
from .engine import Engine, Watch
from .job import Job
from .lock import RunLock
from .record import VideoRecord
from .store import open_store
from .video import Video

RUN = 'run.json'


@dataclass
class Summary:
    """What came of a run so far.

    Attributes:
        videos: That the run is about: those of its shard.
        before: That were done when it began.
        done: That it has tracked.
        failed: Records of those that failed, now or before.
        frames: That it has tracked.
        seconds: That it has taken.
    """

    videos: int = 0
    before: int = 0
    done: int = 0
    failed: list[VideoRecord] = field(default_factory=list)
    frames: int = 0
    seconds: float = 0.0

    @property
    def left(self) -> int:
        """Videos that are neither done nor failed, as after ``limit`` or Ctrl-C."""
        return self.videos - self.before - self.done - len(self.failed)

    @property
    def rate(self) -> float:
        """Frames a second of the whole run."""
        return self.frames / self.seconds if self.seconds else 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``summary.json``."""
        figures = asdict(replace(self, failed=[])) | dict(failed=len(self.failed), left=self.left)
        figures['seconds'] = round(self.seconds, 3)
        return figures | dict(frames_per_second=round(self.rate, 3))


class Run:
    """What is left to do of many videos; :meth:`records` does it.

    Args:
        job: What the workers have in common.
        videos: All of them.
        shard: Number and count of shards, of which this run takes one.
        overwrite: Track anew what is done; also if by other options.
        retry_failed: Track anew what failed.
        limit: Most videos that are tracked now.

    Attributes:
        todo: Videos that are left, those known to be long first.
        lock: Keeps other runs out until the last record.
        summary: What came of it so far.

    Raises:
        InputError: The folder cannot be written to, has results of other options, or another run
            over these videos is at work in it.
    """

    def __init__(
        self,
        job: Job,
        videos: Sequence[Video],
        *,
        shard: tuple[int, int] = (0, 1),
        overwrite: bool = False,
        retry_failed: bool = False,
        limit: int | None = None,
    ) -> None:
        index, count = shard
        self.tag = '' if count == 1 else f'-{index}of{count}'
        self.job = replace(job, owner=f'shard{self.tag}' if self.tag else 'all')
        self.store = open_store(job.out, self.job.owner)
        self.store.check()
        self.lock = RunLock(job.out, self.tag)
        self.store.clean_up()
        self._key = self.job.key()
        self._overwrite = overwrite
        videos = [video for video in videos if video.is_in_shard(index, count)]
        self.summary = Summary(len(videos))
        self._check_options()
        self.todo = self._left_of(videos, retry_failed)
        del self.todo[len(self.todo) if limit is None else limit :]
        # those of known length first, the long ones before the others: none ends long after all
        self.todo.sort(key=lambda video: -(video.frames or 0))

    def path(self, name: str) -> str:
        """A file of this run in its folder: ``summary.json`` becomes ``summary-0of8.json``."""
        stem, dot, suffix = name.partition('.')
        return f'{stem}{self.tag}{dot}{suffix}'

    def records(self, engine: Engine, watch: Watch) -> Generator[VideoRecord, None, None]:
        """Track the videos.

        Args:
            engine: Does it.
            watch: Is told how far videos are.

        Yields:
            The record of each as it ends.

        Raises:
            InputError: The model, or an option of it, does not do; or nothing can be written.
        """
        start = time.monotonic()
        summary = self.summary
        attempts = Attempts(self.job, self.store, self._finished)
        try:
            if not self.todo:
                return
            with closing(engine.run(self.todo, attempts, watch)) as records:
                for record in records:
                    if record.done:
                        summary.done += 1
                        summary.frames += record.frames
                    else:
                        summary.failed.append(record)
                    summary.seconds = time.monotonic() - start
                    yield record
        finally:
            try:
                self.store.clean_up()
                self._write_summary()
            finally:
                self.lock.close()

    def _check_options(self) -> None:
        """Refuse a folder whose results come from other options; note down what ours are."""
        content = self.store.read(RUN)
        try:
            known = json.loads(content)['key'] if content else None
        except (ValueError, KeyError, TypeError):
            known = 'not to be read'
        is_other = known not in (None, self._key)
        if is_other and not self._overwrite and not self.store.is_empty():
            raise InputError(
                f'{self.job.out}: has results of another config, other weights or options; give '
                'another folder, or track its videos anew with --overwrite'
            )
        if known != self._key:
            said = {k: v for k, v in self.job.to_json().items() if k not in ('out', 'owner')}
            text = json.dumps(dict(key=self._key, version=__version__, job=said), indent=2)
            self.store.write(RUN, text + '\n')

    def _left_of(self, videos: list[Video], retry_failed: bool) -> list[Video]:
        """The videos that are to be tracked; the others are counted."""
        if self._overwrite:
            return videos
        left = []
        ids = (video.id for video in videos)
        for video, record in zip(videos, self.store.records(ids), strict=True):
            if record is None or record.key != self.job.key_of(video, self._key):
                left.append(video)
            elif record.done:
                self.summary.before += 1
            elif retry_failed:
                left.append(video)
            else:
                self.summary.failed.append(record)
        return left

    def _finished(self, video: Video) -> VideoRecord | None:
        if self._overwrite:
            return None  # the record may be an old one
        record = self.store.record(video.id)
        is_ours = record is not None and record.key == self.job.key_of(video, self._key)
        return record if record is not None and record.done and is_ours else None

    def _write_summary(self) -> None:
        figures = self.summary.to_json() | dict(key=self._key, model=self.job.model)
        self.store.write(self.path('summary.json'), json.dumps(figures, indent=2) + '\n')
        lines = ''.join(record.line() for record in self.summary.failed)
        self.store.write(self.path('failed.jsonl'), lines)
