"""The engine of a cluster: the same worker as an actor of Ray."""

import time
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from mmvis_cl.errors import InputError, shortened

from .attempts import Attempts
from .engine import Watch
from .job import Job
from .record import VideoRecord
from .video import Video

_LOOK_AGAIN = 5.0  # seconds until the pool looks whether the cluster has grown
MOST_BAD_STARTS = 3
MOST_LOSSES = 3  # of nodes, before the video is suspected


class RayWorker:
    """The worker as an actor. It is ready when it can say where it is.

    Args:
        job: Of :meth:`Job.to_json`.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        from mmvis_cl.threads import set_threads

        from .worker import Worker

        set_threads()
        self._worker: Worker | None = None
        self._fatal = ''
        try:
            self._worker = Worker(Job.from_json(job))
        except InputError as error:  # what an actor raises here would come back with a traceback
            self._fatal = str(error)

    def ready(self) -> str:
        """What is wrong with the job, '' if nothing is."""
        return self._fatal

    def track(self, videos: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The records of videos, which go through the network together if the job says so."""
        assert self._worker is not None
        left = iter([Video.from_json(video) for video in videos])
        records = self._worker.track_all(
            lambda wait: next(left, None), lambda video_id, frames: None
        )
        return [asdict(record) for record in records]


class RayEngine:
    """A pool of actors that grows with the cluster and survives the loss of its nodes.

    Args:
        job: Of the workers. Config, weights, videos and results must be where all nodes find them.
        workers: Most actors; as many as the cluster has room for, also when it grows, if None.
            More than it has room for let a cluster that scales itself grow.
        address: Of the cluster, as ``'auto'``; see :func:`ray.init`.
        gpus: Of each actor, as 0.5; 1 where the cluster has GPUs, else 0, if None.
        timeout: Seconds that a video may take; any if None.

    Raises:
        InputError: Ray is not installed.
    """

    def __init__(
        self,
        job: Job,
        *,
        workers: int | None = None,
        address: str | None = None,
        gpus: float | None = None,
        timeout: float | None = None,
    ) -> None:
        try:
            import ray
        except ImportError:
            raise InputError(
                "--engine ray: Ray is not installed; run pip install 'mmvis_cl[ray]'"
            ) from None
        self._ray: Any = ray
        self._job, self._workers, self._address = job, workers, address
        self._gpus, self._timeout = gpus, timeout

    def run(
        self, videos: Sequence[Video], attempts: Attempts, watch: Watch
    ) -> Generator[VideoRecord, None, None]:
        """See :class:`~mmvis_cl.many.engine.Engine`; of a video it is told when it has ended."""
        ray = self._ray
        is_ours = not ray.is_initialized()
        if is_ours:
            try:
                ray.init(address=self._address, include_dashboard=None, log_to_driver=False)
            except Exception as error:  # of many kinds, a ConnectionError among them
                raise InputError(
                    f'Ray cannot be reached ({shortened(error, 200)}); correct --ray-address, or '
                    'leave it out for a cluster of this machine alone'
                ) from error
        self._pool: dict[Any, Any] = {}  # what an actor is asked, by which it is found -> actor
        self._videos: dict[Any, list[Video]] = {}  # by the same
        self._begun: dict[Any, float] = {}
        self._losses: dict[str, int] = {}
        try:
            yield from self._run(deque(videos), attempts)
        except ray.exceptions.RayError as error:
            raise InputError(
                f'the Ray cluster is not to be reached any more ({shortened(error, 200)}); give '
                'the command again'
            ) from error
        finally:
            with suppress(ray.exceptions.RayError):
                for actor in self._pool.values():
                    ray.kill(actor)
            if is_ours:
                ray.shutdown()

    def _run(self, waiting: deque[Video], attempts: Attempts) -> Generator[VideoRecord, None, None]:
        ray = self._ray
        bad_starts = 0
        while waiting or attempts.alone or any(self._videos.values()):
            self._grow(len(waiting) + len(attempts.alone))
            answered, _ = ray.wait(list(self._pool), timeout=self._patience())
            overdue = self._overdue()
            for asked in answered or overdue:
                actor, given = self._pool.pop(asked), self._videos.pop(asked)
                self._begun.pop(asked, None)
                try:
                    answer = ray.get(asked, timeout=0)
                except Exception as error:
                    bad_starts += not given and not self._lost_node(error)
                    if bad_starts == MOST_BAD_STARTS:
                        raise InputError(
                            f'workers end before they have begun ({_reason(error)}); see the logs '
                            'of Ray'
                        ) from error
                    yield from self._bury(actor, given, error, asked in overdue, waiting, attempts)
                    continue
                if isinstance(answer, str):
                    if answer:
                        raise InputError(answer)
                    bad_starts = 0
                else:
                    yield from (VideoRecord(**record) for record in answer)
                self._feed(actor, waiting, attempts)

    def _grow(self, left: int) -> None:
        """Let there be as many actors as there is room and work for."""
        ray = self._ray
        resources = ray.cluster_resources()
        gpus = self._gpus
        if gpus is None:
            gpus = 1 if resources.get('GPU') else 0
        room = int(resources['GPU'] / gpus if gpus else resources.get('CPU', 1))
        idle = sum(not videos for videos in self._videos.values())  # they begin, and will want one
        most = room if self._workers is None else self._workers
        for _ in range(min(most - len(self._pool), left - idle)):
            # videos that are tried again are given by us, not by Ray
            options = dict(num_gpus=gpus, num_cpus=1, max_restarts=0, max_task_retries=0)
            actor = ray.remote(RayWorker).options(**options).remote(self._job.to_json())
            asked = actor.ready.remote()
            self._pool[asked], self._videos[asked] = actor, []

    def _feed(self, actor: Any, waiting: deque[Video], attempts: Attempts) -> None:
        """Give an actor its next videos; let it go if there are none."""
        if waiting:
            count = min(self._job.videos_per_pass, len(waiting))
            given = [waiting.popleft() for _ in range(count)]
        elif attempts.alone:
            given = [attempts.alone.popleft()]
        else:
            self._ray.kill(actor)
            return
        asked = actor.track.remote([asdict(video) for video in given])
        self._pool[asked], self._videos[asked] = actor, given
        self._begun[asked] = time.monotonic()

    def _bury(
        self,
        actor: Any,
        given: list[Video],
        error: Exception,
        is_overdue: bool,
        waiting: deque[Video],
        attempts: Attempts,
    ) -> Generator[VideoRecord, None, None]:
        """The records of those of an actor's videos that are set aside; the others wait again."""
        ray = self._ray
        ray.kill(actor)
        if isinstance(error, ray.exceptions.RayTaskError):
            cause = error.cause
            if isinstance(cause, InputError):  # nothing can be written
                raise cause
        for video in given:
            losses = self._losses.get(video.id, 0)
            if self._lost_node(error) and losses < MOST_LOSSES:
                self._losses[video.id] = losses + 1
                waiting.append(video)  # the video had no part in it
                continue
            reason = _reason(error)
            if is_overdue:
                reason = f'took more than {self._timeout:g} seconds; give a longer --timeout'
            record = attempts.died(video, reason, is_last=is_overdue and len(given) == 1)
            if record is not None:
                yield record

    def _lost_node(self, error: Exception) -> bool:
        """Whether it is the node that is gone, and not the actor that died by itself."""
        errors = self._ray.exceptions
        return isinstance(error, errors.ActorUnavailableError) or (
            isinstance(error, errors.RayActorError)
            and (error.preempted or 'its node has died' in str(error))
        )

    def _overdue(self) -> list[Any]:
        now = time.monotonic()
        if self._timeout is None:
            return []
        return [
            asked
            for asked, begun in self._begun.items()
            if now - begun > self._timeout * len(self._videos[asked])
        ]

    def _patience(self) -> float:
        """Seconds until something is to be looked at again."""
        if self._timeout is None or not self._begun:
            return _LOOK_AGAIN
        rest = min(self._begun.values()) + self._timeout - time.monotonic()
        return min(_LOOK_AGAIN, max(0.05, rest))


def _reason(error: Exception) -> str:
    """Why an actor ended, in a few words."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f'its worker ended ({shortened(lines[-1] if lines else type(error).__name__, 200)})'
