"""The worker: keeps a model, tracks videos, and puts their results into place itself.

It is the same for every engine: an engine gives it a job and videos, and takes records.
"""

import errno
import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

from mmvis_cl.apis import VideoSource, VISInferencer, open_source
from mmvis_cl.apis.together import TogetherVideo, stream_together
from mmvis_cl.category_ids import ids_of_classes
from mmvis_cl.datasets.image_source import ImageFiles
from mmvis_cl.errors import InputError, in_one_line
from mmvis_cl.outputs import open_outputs
from mmvis_cl.structures import FrameResult
from mmvis_cl.visualization import FrameDrawer

from .defaults import OUTPUTS, SHOWN_SCORE
from .job import Job, model_hash
from .record import VideoRecord
from .remote import fetch, is_remote
from .store import Store, open_store
from .video import Video

Progress = Callable[[str, int], None]  # takes the id of a video and how many frames are done
# Gives a video, or None: if it is to wait, where none will come, else where none is there.
NextVideo = Callable[[bool], Video | None]


class Worker:
    """Tracks videos of a job, one after the other.

    Args:
        job: The job.
        device: Of the model; as for :class:`~mmvis_cl.apis.VISInferencer`.
        store: Where the results go; what the job says if None.

    Raises:
        InputError: Config, weights, device or an option does not do, or config or weights are no
            longer those that the run began with.
    """

    def __init__(self, job: Job, device: str | None = None, store: Store | None = None) -> None:
        self.job = job
        if model_hash(job.config, job.weights, job.cfg_options) != job.model:
            raise InputError(
                f'{job.weights}: it or its config has been changed since the run began; give the '
                'command again'
            )
        self.inferencer = VISInferencer(
            job.config,
            job.weights,
            device,
            amp=job.amp,
            tf32=job.tf32,
            compile_network=job.compile_network,
            frames_per_pass=job.frames_per_pass,
            tta=job.tta,
            cfg_options=job.cfg_options or None,
        )
        self.category_ids = ids_of_classes(
            self.inferencer.classes, job.category_ids, job.annotations
        )
        self.inferencer.session(classes=job.classes)  # says which of them it does not know
        self.store = store or open_store(job.out, job.owner)
        self.run_key = job.key()

    def track_all(self, next_video: NextVideo, progress: Progress) -> Iterator[VideoRecord]:
        """Track videos until there are no more.

        Args:
            next_video: Gives the next one, None at the end; see :data:`NextVideo`.
            progress: See :data:`Progress`.

        Yields:
            The record of each as it ends.

        Raises:
            InputError: See :meth:`track`.
        """
        if self.job.videos_per_pass > 1:
            yield from track_together(self, next_video, progress)
            return
        while (video := next_video(True)) is not None:
            yield self.track(video, progress)

    def track(self, video: Video, progress: Progress = lambda id, frames: None) -> VideoRecord:
        """Track a video and put its results into place.

        Args:
            video: The video.
            progress: Called after each frame.

        Returns:
            Its record, which lies beside the results. A video that cannot be read is failed.

        Raises:
            InputError: Nothing can be written: no other video would fare better.
        """
        with VideoInWork(self, video) as work:
            try:
                work.open()
                # with tta the frames come at the end, when all are tracked
                tell = (lambda n: progress(video.id, n)) if self.job.tta else None
                with closing(work.session.stream(work.source, progress=tell)) as frames:
                    for frame in frames:
                        work.write(frame)
                        progress(video.id, work.frames)
                return work.finish()
            except InputError as error:
                return work.fail(error)


class VideoInWork:
    """A video while it is being tracked, and its outputs while they are being written.

    Args:
        worker: Whose model it goes through.
        video: The video.
    """

    def __init__(self, worker: Worker, video: Video) -> None:
        self._worker, self.video = worker, video
        self._stack = ExitStack()
        self._start = time.perf_counter()
        self._identities: set[int] = set()
        self.frames = 0

    def __enter__(self) -> 'VideoInWork':
        self.folder = self._stack.enter_context(self._worker.store.unfinished_folder())
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def open(self) -> None:
        """Open source and outputs.

        Raises:
            InputError: One of them cannot be.
        """
        job, inferencer = self._worker.job, self._worker.inferencer
        self.source = self._stack.enter_context(self._open_source())
        if self.source.is_live:
            raise InputError(
                f'{self.video.source}: is a live stream, which has no end; track it by mmvis-cl '
                'track'
            )
        self.session = inferencer.session(
            classes=self.video.classes or job.classes, score_thr=job.score_thr
        )
        self._results = self.folder / 'results'
        self._results.mkdir()
        self._outputs = open_outputs(
            {kind: self._results / OUTPUTS[kind] for kind in job.outputs},
            self.source,
            inferencer.classes,
            lambda: self.session.result,
            video_id=self.video.video_id,
            category_ids=self._worker.category_ids,
            drawer=FrameDrawer(trails=job.trails),
            sound=job.sound,
            cvat_shapes=job.cvat_shapes,
        )
        self._stack.callback(self._outputs.discard)

    def _open_source(self) -> VideoSource:
        video = self.video
        if video.files is not None:
            paths = [Path(video.source, name) for name in video.files]
            return ImageFiles(paths, paths[0].parent.name, video.start, video.max_frames)
        if is_remote(video.source):
            path = fetch(video.source, self.folder)
        elif not os.path.lexists(video.source):  # what is no path may be a camera or a pattern
            raise InputError(f'{video.source}: there is no such file or folder; correct the path')
        else:
            path = Path(os.path.abspath(video.source))
        return open_source(path, video.start, video.max_frames)

    def write(self, frame: FrameResult) -> None:
        """Take the next frame of the video."""
        if self._worker.job.score_thr is None:
            frame = frame.above(SHOWN_SCORE)
        self._outputs.write(frame)
        self._identities.update(frame.identities.tolist())
        self.frames += 1

    def finish(self) -> VideoRecord:
        """Finish the outputs and give them their place.

        Returns:
            The record; failed where some of the source could not be read.
        """
        problem = self.source.problem or ''
        if problem and not self._worker.job.accept_damaged:
            raise InputError(f'{problem}; mend the file, or accept it by --accept-damaged')
        self._outputs.close()
        record = self._record('done')
        record.problem = problem
        for output in self._outputs.outputs:
            path = output.path
            files = path.rglob('*') if os.path.isdir(path) else [path]
            record.outputs[path.name] = sum(
                file.stat().st_size for file in files if os.path.isfile(file)
            )
        self._worker.store.publish(self._results, record)
        return record

    def fail(self, error: InputError) -> VideoRecord:
        """Note down why it failed.

        Raises:
            InputError: The error itself, where the disk is full: no other video would fare better.
        """
        if getattr(error.__cause__, 'errno', None) in (errno.ENOSPC, errno.EDQUOT):
            raise error
        record = self._record('failed')
        record.error = in_one_line(error)
        self._worker.store.publish(None, record)
        return record

    def _record(self, status: str) -> VideoRecord:
        worker = self._worker
        return VideoRecord(
            self.video.id,
            self.video.source,
            worker.job.key_of(self.video, worker.run_key),
            status,
            frames=self.frames,
            identities=len(self._identities),
            seconds=round(time.perf_counter() - self._start, 4),
            device=str(worker.inferencer.device),
            model=worker.job.model,
        )


def track_together(
    worker: Worker, next_video: NextVideo, progress: Progress
) -> Generator[VideoRecord, None, None]:
    """The records of videos of which several are tracked at once; see :meth:`Worker.track_all`."""
    works: dict[TogetherVideo, VideoInWork] = {}
    failed: list[VideoRecord] = []  # of those that could not be opened
    first = next_video(True)

    def begin() -> TogetherVideo | None:
        nonlocal first
        video, first = first or next_video(False), None
        while video is not None:
            work = VideoInWork(worker, video).__enter__()
            try:
                work.open()
                begun = TogetherVideo(work.session, work.source)
            except InputError as error:
                try:
                    failed.append(work.fail(error))
                finally:
                    work.__exit__()
                video = next_video(False)
                continue
            works[begun] = work
            return begun
        return None

    try:
        while first is not None:
            for begun, frame in stream_together(
                worker.inferencer, begin, worker.job.videos_per_pass
            ):
                while failed:
                    yield failed.pop()
                if begun not in works:
                    continue  # it has failed, and its last frames come back
                work = works[begun]
                try:
                    if frame is not None:
                        work.write(frame)
                        progress(work.video.id, work.frames)
                        continue
                    if begun.error is not None:
                        raise begun.error
                    record = work.finish()
                except InputError as error:
                    begun.stop()
                    record = work.fail(error)
                works.pop(begun).__exit__()
                yield record
            while failed:
                yield failed.pop()
            first = next_video(True)
    finally:
        for work in works.values():
            work.__exit__()
