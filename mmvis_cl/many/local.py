"""The engine of one machine: worker processes, replaced when they die."""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from mmvis_cl.errors import InputError

from .attempts import Attempts
from .engine import Watch
from .job import Job
from .record import VideoRecord
from .store import Store
from .video import Video

MOST_BAD_STARTS = 3
_GRACE = 10.0  # seconds that idle workers have to end


class LocalEngine:
    """Worker processes of this machine, fed by pipes.

    Args:
        job: Of the workers.
        store: Where the results go.
        devices: A device for each process.
        timeout: Seconds that a video may take; any if None.
        log: File that takes what workers and libraries say.
        lock: Descriptor of an open file that workers hold open as long as they live.
        command: That starts a worker; for tests and measurements.
    """

    def __init__(
        self,
        job: Job,
        store: Store,
        devices: Sequence[str | None],
        *,
        timeout: float | None = None,
        log: str | os.PathLike = os.devnull,
        lock: int | None = None,
        command: Sequence[str] = (sys.executable, '-m', 'mmvis_cl.many.process'),
    ) -> None:
        self.job, self.devices, self.log, self.lock = job, devices, log, lock
        self.command, self._store, self._timeout = command, store, timeout
        self.events: queue.SimpleQueue[tuple[_Process, dict[str, Any]]] = queue.SimpleQueue()

    def run(
        self, videos: Sequence[Video], attempts: Attempts, watch: Watch
    ) -> Generator[VideoRecord, None, None]:
        """See :class:`~mmvis_cl.many.engine.Engine`."""
        waiting = deque(videos)
        workers = [_Process(self, n) for n in range(min(len(self.devices), len(videos)))]
        bad_starts = [0] * len(workers)
        try:
            while waiting or attempts.alone or any(worker.videos for worker in workers):
                for worker in workers:
                    self._feed(worker, waiting, attempts)
                try:
                    worker, message = self.events.get(timeout=self._patience(workers))
                except queue.Empty:
                    for worker in workers:
                        worker.kill_if_overdue(self._timeout)
                    continue
                if 'record' in message:
                    record = VideoRecord(**message['record'])
                    worker.take_back(record.id)
                    yield record
                elif 'frames' in message:
                    watch(worker.number, message['video'], message['frames'])
                elif 'ready' in message:
                    worker.is_ready, bad_starts[worker.number] = True, 0
                elif 'fatal' in message:
                    raise InputError(message['fatal'])
                elif 'broken' in message:
                    worker.reason = message['broken']
                else:
                    bad_starts[worker.number] += not worker.is_ready
                    yield from self._bury(worker, attempts)
                    if bad_starts[worker.number] == MOST_BAD_STARTS:
                        if not any(worker.is_alive for worker in workers):
                            raise InputError(
                                f'workers end before they have begun ({worker.why()}); see '
                                f'{self.log}'
                            )
                    elif waiting or attempts.alone:
                        workers[worker.number] = _Process(self, worker.number)
            for worker in workers:
                worker.end()
        finally:
            for worker in workers:
                worker.kill()
                self._store.clean_up(worker.pid)

    def _feed(self, worker: '_Process', waiting: deque[Video], attempts: Attempts) -> None:
        if not worker.is_ready or worker.is_alone:
            return
        while waiting and len(worker.videos) < self.job.videos_per_pass:
            worker.give(waiting.popleft())
        if not waiting and not worker.videos and attempts.alone:
            # what a worker died of is tried again at the end, where it harms no other
            worker.give(attempts.alone.popleft())
            worker.is_alone = True

    def _bury(self, worker: '_Process', attempts: Attempts) -> Iterator[VideoRecord]:
        """Clean up behind a process that ended; the records of its videos that are set aside."""
        self._store.clean_up(worker.pid)
        worker.is_alive = worker.is_ready = False
        for video in list(worker.videos.values()):
            worker.take_back(video.id)
            if worker.overdue not in (None, video.id):
                attempts.alone.append(video)  # it had no part in it
                continue
            record = attempts.died(video, worker.why(), is_last=worker.overdue is not None)
            if record is not None:
                yield record

    def _patience(self, workers: 'list[_Process]') -> float | None:
        """Seconds until a video takes too long."""
        if self._timeout is None:
            return None
        begun = [at for worker in workers for at in worker.begun.values()]
        return max(0.05, min(begun, default=time.monotonic()) + self._timeout - time.monotonic())


class _Process:
    """A worker process.

    Args:
        engine: That it works for.
        number: Among the workers.

    Attributes:
        videos: That it is at, by their ids.
        begun: When it was given them.
        is_alive: Its end is not known yet.
        is_ready: It has its model.
        is_alone: It has a video that a worker died of, and gets no other beside it.
        overdue: Id of the video for which it was killed.
        reason: What it said before it ended.
    """

    def __init__(self, engine: LocalEngine, number: int) -> None:
        self.number = number
        self.videos: dict[str, Video] = {}
        self.begun: dict[str, float] = {}
        self.is_alive, self.is_ready, self.is_alone = True, False, False
        self.overdue: str | None = None
        self.reason = ''
        # what this process finds, the worker finds as well
        paths = [path or os.getcwd() for path in sys.path]
        with open(engine.log, 'ab') as log:
            self._process = subprocess.Popen(
                engine.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=dict(os.environ, PYTHONPATH=os.pathsep.join(paths)),
                pass_fds=() if engine.lock is None else (engine.lock,),
            )
        self.pid = self._process.pid
        self._say(dict(job=engine.job.to_json(), device=engine.devices[number]))
        threading.Thread(target=self._listen, args=(engine.events,), daemon=True).start()

    def _say(self, message: dict[str, Any]) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        with suppress(BrokenPipeError):  # it has died, which the events will say
            stdin.write(json.dumps(message).encode() + b'\n')
            stdin.flush()

    def _listen(self, events: 'queue.SimpleQueue[tuple[_Process, dict[str, Any]]]') -> None:
        stdout = self._process.stdout
        assert stdout is not None
        for line in stdout:
            if line.endswith(b'\n'):  # a killed one may leave half a line
                events.put((self, json.loads(line)))
        self._process.wait()
        events.put((self, dict(ended=True)))

    def give(self, video: Video) -> None:
        """Let it track a video."""
        self.videos[video.id] = video
        self.begun[video.id] = time.monotonic()
        self._say(asdict(video))

    def take_back(self, video_id: str) -> None:
        """It is no more at a video."""
        del self.videos[video_id], self.begun[video_id]
        self.is_alone = False

    def kill_if_overdue(self, timeout: float | None) -> None:
        """Kill it if a video takes too long."""
        now = time.monotonic()
        for video_id, begun in self.begun.items():
            if timeout is not None and now - begun > timeout and self.overdue is None:
                self.overdue = video_id
                self.reason = f'took more than {timeout:g} seconds; give a longer --timeout'
                self.kill()

    def why(self) -> str:
        """Why it ended, in a few words."""
        code = self._process.wait()
        if self.reason:
            return self.reason
        if code < 0:
            return (
                f'its worker was ended by signal {-code}, as happens where memory is short; give '
                'fewer --workers'
            )
        return f'its worker ended with exit code {code}; see the log'

    def end(self) -> None:
        """Let it end: it has nothing to do."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE)

    def kill(self) -> None:
        """End it at once, and wait until it is gone."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()
