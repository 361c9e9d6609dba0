"""Track videos from Python: a model, and a session for each video that it watches."""

import difflib
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
import torch
from mmcv.transforms import Compose, LoadAnnotations, LoadImageFromFile
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from mmvis_cl import compat
from mmvis_cl.checkpoints.reader import read_checkpoint, tensors_of
from mmvis_cl.checkpoints.release_checkpoint import from_release, is_release
from mmvis_cl.config import build_errors_in_one_line, check_names, read_config, set_options
from mmvis_cl.config.dumped import check_types_are_registered, config_of_text
from mmvis_cl.config_names import find_config
from mmvis_cl.datasets.class_lists import class_list
from mmvis_cl.datasets.video_source import SourceFrame, VideoSource, open_source
from mmvis_cl.engine.hooks.check_fit_hook import compare_weights
from mmvis_cl.engine.multi_scale_config import use_multi_scale
from mmvis_cl.errors import InputError
from mmvis_cl.fast.fast_inference import prepare_for_inference
from mmvis_cl.models.vis.contrastive_vis import ContrastiveVIS
from mmvis_cl.models.vis.multi_scale_vis import merge_video_results
from mmvis_cl.models.vis.video_session import VideoSession
from mmvis_cl.registry import DATASETS, MODELS, TRANSFORMS
from mmvis_cl.structures import FrameResult, MergedResult, Track, VideoResult

Source = str | os.PathLike | int | Iterable[np.ndarray] | VideoSource


class VISInferencer:
    """A trained model, ready to track videos.

    >>> inferencer = VISInferencer('r50_ytvis21', 'idol.pth')
    >>> for frame in inferencer.stream('walk.mp4', score_thr=0.3):
    ...     print(frame.index, frame.identities, frame.classes)
    >>> result = inferencer('walk.mp4')  # the finished VideoResult

    Results are those of ``tools/test.py`` on the same frames: the frames go through the config's
    test pipeline, except for what loads images and annotations.

    Args:
        config: Path of a config, its name alone (``'r50_ytvis21'``), or a config. Of its data set
            only pipeline and classes are used, no data need be there. If None, the one that a
            checkpoint of ours remembers from its training.
        weights: Checkpoint, ours or one of the authors' release, which is converted on the fly.
            Only tensors and plain values are taken from it, no code in it is run.
        device: ``'cuda'``, ``'cuda:1'``, ``'cpu'``; CUDA if there is any, else the CPU, if None.
        amp: Run the network in bfloat16: faster on GPUs and on CPUs that have it, with slightly
            other results.
        frames_per_pass: Most frames of a file that go through the network at once; the config's
            ``model.test_cfg.frames_per_pass`` if None, else 8 on CUDA and 1 on the CPU, where more
            are not faster. From live sources and generators frames go one by one.
        tta: Track at every size of the config's ``tta.scales`` and merge the tracks. What is merged
            is known at the end only: see :meth:`stream`.
        cfg_options: Settings that override the config's, as ``{'model.tracker.new_thr': 0.3}``.

    Attributes:
        classes (tuple[str, ...]): name of each label: those that the checkpoint was trained on, if
            it says, else the config's.
        device (torch.device): of the model.
        model (ContrastiveVIS): the model.

    Raises:
        InputError: Config or checkpoint is missing, broken, or they do not fit; the device is not
            there.
    """

    def __init__(
        self,
        config: str | os.PathLike | Config | None = None,
        weights: str | os.PathLike | None = None,
        device: str | torch.device | None = None,
        *,
        amp: bool = False,
        frames_per_pass: int | None = None,
        tta: bool = False,
        cfg_options: dict | None = None,
    ) -> None:
        self.device = _device(device)
        if weights is None:
            raise InputError(
                'weights: none were given, and an untrained model finds nothing; give a checkpoint'
            )
        content = None
        if isinstance(config, Config):
            cfg, where = config.copy(), config.filename or 'the config'
        elif config is not None:
            cfg = read_config(find_config(config))
            where = cfg.filename
        else:
            content = _read(weights)
            meta = content.get('meta')
            where = f'the config in {os.fspath(weights)}'
            text = meta.get('cfg') if isinstance(meta, dict) else None
            cfg = config_of_text(text, os.fspath(weights))
            check_types_are_registered(cfg, os.fspath(weights))
        if cfg_options:
            set_options(cfg, cfg_options)
        check_names(cfg)
        compat.set_up_in_tool(cfg.get('custom_imports'))
        for key in ('model', 'test_dataloader'):
            if not cfg.get(key):
                raise InputError(f'{where}: has no {key}; give a config as those in configs/vis_cl')
        content = _read(weights) if content is None else content
        state, trained_classes = _weights_of(content, os.fspath(weights))

        self._merge_cfg = None
        if tta:
            use_multi_scale(cfg)
            self._merge_cfg = dict(cfg.model.merge_cfg)
            cfg.model = cfg.model.module
        if amp:
            cfg.model.setdefault('test_cfg', {})['autocast'] = 'bfloat16'
        with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmvis_cl')):
            with build_errors_in_one_line(cfg):
                model = MODELS.build(cfg.model)
            if not isinstance(model, ContrastiveVIS):
                raise InputError(
                    f'{where}: its model is a {type(model).__name__}; VISInferencer needs a '
                    'ContrastiveVIS (tools/test.py tests any of mmdet)'
                )
            with build_errors_in_one_line(cfg):
                self._pipeline = _Pipeline(cfg.test_dataloader.dataset.pipeline)
            self.classes = _classes(cfg, where, trained_classes)
        misfit = compare_weights(f'the checkpoint {os.fspath(weights)}', state, model)
        if misfit is not None:
            raise InputError(f'{misfit.error} (config: {where})')
        num_classes = model.detector.bbox_head.num_classes
        if len(self.classes) != num_classes:
            raise InputError(
                f'{where}: the model has {num_classes} classes, but {len(self.classes)} are named '
                f'({", ".join(self.classes[:3])}, ...); mend test_dataloader.dataset.classes'
            )
        state = {key.removeprefix('module.'): value for key, value in state.items()}
        model.load_state_dict(state, strict=False)  # compared above
        self.model = model.to(self.device).eval()
        prepare_for_inference(self.model)
        default = 8 if self.device.type == 'cuda' else 1
        self.frames_per_pass = frames_per_pass or model.test_cfg.get('frames_per_pass', default)
        self._session: TrackingSession | None = None

    def __repr__(self) -> str:
        """One line: what it was made of, and where it runs."""
        name = type(self.model.detector).__name__
        merged = ', tta' if self._merge_cfg is not None else ''
        return f'VISInferencer({name}, {len(self.classes)} classes, on {self.device}{merged})'

    @property
    def result(self) -> VideoResult | None:
        """The tracks so far of the video that was begun last; None without one."""
        return None if self._session is None else self._session.result

    def reset(self) -> None:
        """Forget the video that was begun last."""
        self._session = None

    def session(
        self,
        *,
        name: str | None = None,
        classes: Sequence[str] | None = None,
        score_thr: float | None = None,
    ) -> 'TrackingSession':
        """The state of one video more; any number of them share the model.

        Args:
            name: ``video_id`` of the result; the source's name, or ``video``, if None.
            classes: Names of the classes wanted; all if None.
            score_thr: Identities are given whose score is above it; the config's
                ``model.test_cfg.result_score_thr`` if None. It changes nothing in the tracking.

        Returns:
            TrackingSession: before its first frame.

        Raises:
            InputError: The model does not know a class.
        """
        return TrackingSession(self, name, classes, score_thr)

    def stream(
        self,
        source: Source,
        *,
        start: int = 0,
        max_frames: int | None = None,
        classes: Sequence[str] | None = None,
        score_thr: float | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Generator[FrameResult, None, None]:
        """Track a video and give each frame as soon as it is done.

        With ``tta`` the source is read twice, for tracks are merged when all frames are known: the
        first frame comes at the end. That needs a source that can be read again.

        Args:
            source: See :func:`open_source`; or what it gave, which stays open.
            start: Number of the first frame.
            max_frames: Most frames to track.
            classes: See :meth:`session`.
            score_thr: See :meth:`session`.
            progress: Called with the number of frames tracked so far, at least after each pass
                through the network.

        Yields:
            FrameResult: every frame, also those in which nothing was found. :attr:`result` has the
            tracks so far.

        Raises:
            InputError: See :func:`open_source`; or the model does not know a class. Raised at once,
                not when the first frame is asked for.
        """
        self._session = self.session(classes=classes, score_thr=score_thr)
        return self._session.stream(source, start=start, max_frames=max_frames, progress=progress)

    def __call__(
        self,
        source: Source,
        *,
        start: int = 0,
        max_frames: int | None = None,
        classes: Sequence[str] | None = None,
        score_thr: float | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> VideoResult:
        """Track a video to its end.

        Args:
            source: See :meth:`stream`, as all arguments.
            start: Number of the first frame.
            max_frames: Most frames to track.
            classes: Names of the classes wanted.
            score_thr: Tracks are given whose score is above it.
            progress: Called with the number of frames tracked so far.

        Returns:
            VideoResult: its frames are counted from ``start`` on.

        Raises:
            InputError: See :meth:`stream`.
        """
        self._session = self.session(classes=classes, score_thr=score_thr)
        return self._session(source, start=start, max_frames=max_frames, progress=progress)


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
        inferencer: VISInferencer,
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
        if self._inferencer._merge_cfg is None:
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
            self._merged = merge_video_results(results, **(self._inferencer._merge_cfg or {}))
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
        if self._inferencer._merge_cfg is not None:
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
        return self._results(frames, self._track(frames))

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
        merged = self._inferencer._merge_cfg is not None
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
        # frames that come at their own pace are answered at once
        per_pass = self._inferencer.frames_per_pass if source.rereadable else 1
        frames = iter(source)
        try:
            while batch := list(islice(frames, per_pass)):
                found = self._track(batch)
                if progress is not None:
                    progress(self.length)
                yield batch, found
        finally:
            frames.close()

    def _track(self, frames: list[SourceFrame]) -> list[InstanceData]:
        """Bring all runs up to date; the frames' identities in the first of them."""
        inferencer = self._inferencer
        size = frames[0].image.shape[:2]
        if self._runs and self._runs[0].result.ori_shape != size:
            h, w = self._runs[0].result.ori_shape
            raise InputError(
                f'{self.name or "video"}: a frame is {size[1]}x{size[0]} (width x height), those '
                f'before are {w}x{h}; reset() the session for another video'
            )
        runs = inferencer._pipeline([frame.image for frame in frames], self.length)
        begin = not self._runs
        first_run: list[InstanceData] = []
        for number, (inputs, sample) in enumerate(runs):
            data = inferencer.model.data_preprocessor(dict(inputs=[inputs], data_samples=[sample]))
            samples = list(data['data_samples'][0])
            if begin:
                self._runs.append(self._start(size, samples[0].get('flip', False)))
            found = inferencer.model.track_frames(self._runs[number], data['inputs'][0], samples)
            first_run = first_run or found
        return first_run

    def _start(self, size: tuple[int, int], flip: bool) -> VideoSession:
        # how long the video is, is not known
        name = self.name or 'video'
        session = self._inferencer.model.start_video(name, 0, size, flip=flip)
        if self._inferencer._merge_cfg is None:  # else all tracks are merged, and then selected
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


class _Pipeline:
    """A config's test pipeline for frames that are in memory.

    Args:
        steps (list[dict]): the transforms of the config.
    """

    def __init__(self, steps: list[dict]) -> None:
        self._to_float32 = False
        self._transforms = Compose(
            [TRANSFORMS.build(step) for step in self._without_loading(steps)]
        )

    def _without_loading(self, steps: list[dict]) -> list[dict]:
        kept = []
        for step in steps:
            kind = step['type'] if isinstance(step['type'], type) else TRANSFORMS.get(step['type'])
            if kind is None:
                raise InputError(f'test pipeline: there is no transform {step["type"]!r}')
            if issubclass(kind, LoadImageFromFile):
                if step.get('color_type', 'color') != 'color':
                    raise InputError(
                        f'test pipeline: {step["type"]} with color_type={step["color_type"]!r}; '
                        "VISInferencer gives colours, use 'color'"
                    )
                self._to_float32 = step.get('to_float32', False)
            elif not issubclass(kind, LoadAnnotations):
                if 'transforms' in step and all('type' in t for t in step['transforms']):
                    step = dict(step, transforms=self._without_loading(step['transforms']))
                kept.append(step)
        return kept

    def __call__(self, images: list[np.ndarray], first: int) -> list[tuple]:
        """Frames as the network takes them.

        Args:
            images (list[ndarray]): T frames (H, W, 3) uint8 RGB of one size.
            first (int): number of the first of them in the video.

        Returns:
            list[tuple]: of each run (one a size, with multi-scale testing) the frames, a tensor
            (T, 3, h, w), and a ``TrackDataSample``.
        """
        n = len(images)
        shape = images[0].shape[:2]
        frames = [np.ascontiguousarray(image[..., ::-1]) for image in images]
        if self._to_float32:
            frames = [frame.astype(np.float32) for frame in frames]
        numbers = list(range(first, first + n))
        packed = self._transforms(
            dict(
                img=frames,
                img_path=[None] * n,
                img_shape=[shape] * n,
                ori_shape=[shape] * n,
                height=[shape[0]] * n,
                width=[shape[1]] * n,
                img_id=numbers,
                frame_id=numbers,
                video_id=[0] * n,
                video_length=[n] * n,
                homography_matrix=[np.eye(3, dtype=np.float32) for _ in frames],
            )
        )
        inputs, samples = packed['inputs'], packed['data_samples']
        if not isinstance(inputs, (list, tuple)):
            inputs, samples = [inputs], [samples]
        return list(zip(inputs, samples, strict=True))


def _device(device: str | torch.device | None) -> torch.device:
    if device is None:
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        device = torch.device(device)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f'device {str(device)!r} cannot be used ({reason}); try cpu') from error
    return device


def _read(weights: str | os.PathLike) -> dict:
    return read_checkpoint(os.fspath(weights), skip_objects=True)


def _weights_of(content: dict, path: str) -> tuple[dict[str, torch.Tensor], tuple[str, ...] | None]:
    """A checkpoint's weights under our names, and the classes that they were trained on."""
    weights = tensors_of(content, path)
    if is_release(weights):
        try:
            return from_release(weights)[0], None
        except InputError as error:
            raise InputError(f'{path}: {error}') from error
    meta = content.get('meta')
    data = meta.get('dataset_meta') if isinstance(meta, dict) else None
    classes = data.get('classes') if isinstance(data, dict) else None
    return weights, tuple(classes) if isinstance(classes, (list, tuple)) else None


def _classes(cfg: Config, where: str, trained: tuple[str, ...] | None) -> tuple[str, ...]:
    if trained:
        return trained
    dataset = cfg.test_dataloader.dataset
    classes = dataset.get('classes') or (dataset.get('metainfo') or {}).get('classes')
    if classes is None:
        kind = DATASETS.get(dataset.type) if isinstance(dataset.type, str) else dataset.type
        classes = getattr(kind, 'METAINFO', {}).get('classes')
    if classes is None:
        raise InputError(
            f'{where}: neither it nor the checkpoint names the classes; set '
            'test_dataloader.dataset.classes'
        )
    return class_list(classes) if isinstance(classes, str) else tuple(classes)


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
