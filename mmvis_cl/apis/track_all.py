"""Thousands of videos, tracked by several workers; what is done is not done again."""

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any

import torch

from mmvis_cl.errors import InputError
from mmvis_cl.many.defaults import OUTPUTS
from mmvis_cl.many.engine import Engine, InThisProcess
from mmvis_cl.many.job import Job, model_hash
from mmvis_cl.many.local import LocalEngine
from mmvis_cl.many.ray_engine import RayEngine
from mmvis_cl.many.record import VideoRecord
from mmvis_cl.many.remote import is_remote
from mmvis_cl.many.run import Run, Summary
from mmvis_cl.many.sources import find_videos
from mmvis_cl.weights import config_of_name, is_elsewhere


class TrackAll:
    """A run over many videos, made by :func:`track_all`. Iterate over it once.

    Attributes:
        log (str): file that takes what workers and libraries say, and a line for each video.
    """

    def __init__(self, run: Run, engine: Engine, log: str) -> None:
        self._run, self._engine, self.log = run, engine, log
        # Called with the number of a worker, the id of its video and how many frames are done.
        self.watch: Callable[[int, str, int], None] = lambda worker, video_id, frames: None

    def __iter__(self) -> Generator[VideoRecord, None, None]:
        """The record of each video as it ends.

        Raises:
            InputError: The model, or an option of it, does not do; or nothing can be written.
        """
        with (
            closing(self._run.records(self._engine, lambda *said: self.watch(*said))) as records,
            open(self.log, 'a', buffering=1, encoding='utf-8') as log,
        ):
            for record in records:
                log.write(f'{datetime.now().isoformat(" ", "seconds")} {record.told()}\n')
                yield record

    def __len__(self) -> int:
        """How many videos are left to do when it begins."""
        return len(self._run.todo)

    @property
    def frames(self) -> int | None:
        """Frames of the videos that are left; None where some are not known."""
        known = [video.frames for video in self._run.todo]
        return None if None in known else sum(frames or 0 for frames in known)

    @property
    def summary(self) -> Summary:
        """What came of it so far."""
        return self._run.summary


def track_all(
    sources: str | os.PathLike | Sequence[str | os.PathLike],
    out: str | os.PathLike,
    config: str | os.PathLike | None = None,
    weights: str | os.PathLike | None = None,
    *,
    outputs: Sequence[str] = ('json',),
    workers: int | None = None,
    devices: Sequence[str | None] = (None,),
    engine: str = 'local',
    ray_address: str | None = None,
    gpus_per_worker: float | None = None,
    pattern: str | None = None,
    images: str | os.PathLike | None = None,
    shard: tuple[int, int] = (0, 1),
    limit: int | None = None,
    overwrite: bool = False,
    retry_failed: bool = False,
    accept_damaged: bool = False,
    timeout: float | None = None,
    log: str | os.PathLike | None = None,
    start: int = 0,
    max_frames: int | None = None,
    classes: Sequence[str] | None = None,
    score_thr: float | None = None,
    trails: int = 0,
    sound: bool = True,
    cvat_shapes: str = 'polygons',
    category_ids: Sequence[str] | None = None,
    annotations: str | os.PathLike | None = None,
    amp: bool = False,
    tf32: bool = False,
    compile_network: bool = False,
    tta: bool = False,
    frames_per_pass: int | None = None,
    videos_per_pass: int = 1,
    cfg_options: dict[str, Any] | None = None,
) -> TrackAll:
    """Track thousands of videos.

    >>> for record in track_all('videos/', 'tracked/', 'r50_ytvis21', 'idol.pth', workers=2):
    ...     print(record.id, record.status, record.frames, record.error)

    A video that has a record of the same config, weights and options in ``out`` is not tracked
    again, so that a run that was ended in whatever way goes on when it is given again. A video that
    cannot be tracked is no error: its record says why it failed.

    Args:
        sources: Files, folders, patterns, lists, annotation files or addresses; see
            :func:`~mmvis_cl.many.sources.find_videos`.
        out: Folder, or address that fsspec knows, that gets ``videos/NAME`` for each video,
            ``summary.json`` and ``failed.jsonl``.
        config: See :class:`VISInferencer`; path or name.
        weights: See there.
        outputs: Of ``'json'``, ``'coco'``, ``'video'``, ``'masks'``, ``'csv'``, ``'mots'``,
            ``'cvat'``, ``'label-studio'`` and ``'fiftyone'``.
        workers: Processes; one for each device if None. With 0 this process does the work itself.
        devices: Of the processes, in turn: ``'cuda:0'``, ``'cpu'``; CUDA if there is any, if None.
        engine: ``'local'``, processes of this machine; or ``'ray'``, actors of a Ray cluster, where
            ``workers`` are the most at once, any number if None, and ``devices`` are not looked at.
        ray_address: Of the cluster; one of this machine alone if None.
        gpus_per_worker: Of Ray, as 0.5; 1 where the cluster has GPUs, else 0, if None.
        pattern: Of the videos in folders, as ``'*.mp4'``.
        images: Folder from which the paths in annotation files start.
        shard: Number and count, as (0, 8): only the videos whose ids belong to this one of eight.
        limit: Most videos that are tracked now.
        overwrite: Track anew what is done.
        retry_failed: Track anew what failed.
        accept_damaged: A video of which some frames cannot be read is done with the others, and
            its record says so; without it such a video has failed.
        timeout: Seconds that a video may take.
        log: File that takes what workers say, and a line for each video; ``track_all.log`` in
            ``out``, or in the current folder if ``out`` is an address, if None.
        start: Number of the first frame of each video, where a list does not say it.
        max_frames: Most frames of each video, where a list does not say it.
        classes: Only objects of these, where a list does not say it.
        score_thr: Only objects with a score above it. If None it is that of ``mmvis-cl track``.
        trails: Frames for which a drawn trail is seen.
        sound: Let drawn videos have the sound of theirs.
        cvat_shapes: See :func:`~mmvis_cl.outputs.open_outputs`.
        category_ids: An id for each class, or ``NAME=ID`` for each; 1, 2, ... if None.
        annotations: File from whose categories the ids are taken; that of ``sources``, if there is
            one and ``category_ids`` is None.
        amp: See :class:`VISInferencer`.
        tf32: See there.
        compile_network: See there.
        tta: See there.
        frames_per_pass: See there.
        videos_per_pass: Videos whose frames go through the network together, where their sizes are
            the same: faster on a GPU where videos are short or small.
        cfg_options: See :class:`VISInferencer`.

    Returns:
        TrackAll: gives a :class:`~mmvis_cl.many.record.VideoRecord` a video as it ends.

    Raises:
        InputError: An argument does not do, no video is found, ``out`` cannot be written to or has
            results of other options.
    """
    if weights is None:
        raise InputError('weights: none were given; give a checkpoint')
    _check(outputs, workers, engine, shard, limit, timeout, videos_per_pass, tta)
    out = os.fspath(out)
    if isinstance(sources, (str, os.PathLike)):
        sources = [sources]
    names = [os.fspath(source) for source in sources]
    videos = find_videos(
        names,
        pattern=pattern,
        images=None if images is None else os.fspath(images),
        start=start,
        max_frames=max_frames,
        left_out=None if is_remote(out) else out,
    )
    files = [name for name in names if name.lower().endswith('.json')]
    if annotations is None and category_ids is None and files:
        annotations = files[0]
    count = len(devices) if workers is None else workers
    config = config_of_name(weights) if config is None else config
    config = None if config is None else _absolute(config)
    # by a name every node of a cluster finds it
    weights = os.fspath(weights) if is_elsewhere(weights) else _absolute(weights)
    job = Job(
        out if is_remote(out) else os.path.abspath(out),
        config,
        weights,
        dict(cfg_options or {}),
        amp=amp,
        tf32=tf32,
        compile_network=compile_network,
        tta=tta,
        frames_per_pass=frames_per_pass,
        outputs=tuple(outputs),
        score_thr=score_thr,
        classes=None if classes is None else tuple(classes),
        trails=trails,
        sound=sound,
        cvat_shapes=cvat_shapes,
        category_ids=None if category_ids is None else tuple(category_ids),
        annotations=None if annotations is None else _absolute(annotations),
        accept_damaged=accept_damaged,
        videos_per_pass=videos_per_pass,
        processes=max(1, count),
        model=model_hash(config, weights, dict(cfg_options or {})),
    )
    run = Run(job, videos, shard=shard, overwrite=overwrite, retry_failed=retry_failed, limit=limit)
    if log is None:
        log = run.path('track_all.log')
        log = log if is_remote(out) else os.path.join(out, log)
    chosen: Engine
    if engine == 'ray':
        chosen = RayEngine(
            run.job, workers=workers, address=ray_address, gpus=gpus_per_worker, timeout=timeout
        )
    elif count == 0:
        chosen = InThisProcess(run.job, run.store, devices[0])
    else:
        chosen = LocalEngine(
            run.job,
            run.store,
            [devices[number % len(devices)] for number in range(count)],
            timeout=timeout,
            log=log,
            lock=run.lock.file,
        )
    return TrackAll(run, chosen, os.fspath(log))


def devices_of(text: str) -> list[str]:
    """What ``--devices`` names: numbers of GPUs, ``all`` of them, or names as PyTorch has them.

    Raises:
        InputError: There is no such GPU.
    """
    if text == 'all':
        text = ','.join(map(str, range(torch.cuda.device_count())))
        if not text:
            raise InputError('--devices all: PyTorch finds no GPU; leave it out, or give cpu')
    names = [part.strip() for part in text.split(',')]
    return [f'cuda:{name}' if name.isdecimal() else name for name in names]


def _absolute(path: str | os.PathLike) -> str:
    """The path of a file, which any process can open; a name or address stays."""
    name = os.fspath(path)
    return os.path.abspath(name) if os.path.isfile(name) else name


def _check(
    outputs: Sequence[str],
    workers: int | None,
    engine: str,
    shard: tuple[int, int],
    limit: int | None,
    timeout: float | None,
    videos_per_pass: int,
    tta: bool,
) -> None:
    index, count = shard
    if not 0 <= index < count:
        raise InputError(
            f'shard {index}/{count}: of {count} shards the first is 0 and the last {count - 1}; '
            'give one of them'
        )
    unknown = [kind for kind in outputs if kind not in OUTPUTS]
    if unknown or not outputs:
        raise InputError(f'outputs {unknown}: are none; give some of {", ".join(OUTPUTS)}')
    if engine not in ('local', 'ray'):
        raise InputError(f'engine {engine!r}: is none; give local or ray')
    if engine == 'ray' and workers == 0:
        raise InputError('workers 0: Ray needs some; give 1 or more, or leave it out')
    if workers is not None and workers < 0:
        raise InputError(f'workers {workers}: are too few; give 1 or more, or 0 for this process')
    if limit is not None and limit < 1:
        raise InputError(f'limit {limit}: is too low; give 1 or more')
    if timeout is not None and (not timeout > 0 or workers == 0):
        raise InputError(
            f'timeout {timeout:g}: cannot be kept; give seconds above 0, and workers to be ended'
        )
    if videos_per_pass < 1 or (videos_per_pass > 1 and tta):
        raise InputError(
            f'videos per pass {videos_per_pass}: cannot be; give 1 or more, and with tta 1'
        )
