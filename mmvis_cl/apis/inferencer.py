"""A trained model, ready to track videos from Python."""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmvis_cl import compat
from mmvis_cl.checkpoints.reader import read_checkpoint, tensors_of
from mmvis_cl.checkpoints.releases import release_of
from mmvis_cl.config import build_errors_in_one_line, check_names, read_config, set_options
from mmvis_cl.config.dumped import check_types_are_registered, config_of_text
from mmvis_cl.config_names import find_config
from mmvis_cl.datasets.class_lists import class_list
from mmvis_cl.datasets.video_source import SourceFrame
from mmvis_cl.engine.hooks.check_fit_hook import compare_weights
from mmvis_cl.engine.multi_scale_config import use_multi_scale
from mmvis_cl.errors import InputError
from mmvis_cl.export import is_model_file
from mmvis_cl.fast.fast_inference import prepare_for_inference
from mmvis_cl.fast.network_ahead import decided_on_cpu, network_ahead
from mmvis_cl.models.detectors.deformable_detr import QueryStates
from mmvis_cl.models.vis.contrastive_vis import ContrastiveVIS
from mmvis_cl.registry import DATASETS, MODELS
from mmvis_cl.structures import FrameResult, VideoResult
from mmvis_cl.weights import config_of_name

from .pipeline import FramePipeline, NetworkPass, network_passes
from .session import Source, TrackingSession


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
            checkpoint of ours remembers from its training, or that weights of a known name fit.
        weights: Checkpoint, ours or one of a release, which is converted on the fly; or a name of
            ``mmvis-cl weights`` or an address, which is fetched once. Only tensors and plain values
            are taken from it, no code in it is run. Or a file of ``mmvis-cl export``, which needs
            no config.
        device: ``'cuda'``, ``'cuda:1'``, ``'cpu'``; CUDA if there is any, else the CPU, if None.
        amp: Run the network in bfloat16: faster on GPUs and on CPUs that have it, with slightly
            other results.
        frames_per_pass: Most frames of a file that go through the network at once; the config's
            ``model.test_cfg.frames_per_pass`` if None, else 8 on CUDA and 1 on the CPU, where more
            are not faster. From live sources and generators frames go one by one.
        tf32: Let float32 products on a GPU use 10 bits of the 23 after the point: faster, with
            slightly other results.
        compile_network: Give the network to ``torch.compile``: faster, but the first frames of each
            size wait for it.
        tta: Track at every size of the config's ``tta.scales`` and merge the tracks. What is merged
            is known at the end only: see :meth:`stream`.
        cfg_options: Settings that override the config's, as ``{'model.tracker.new_thr': 0.3}``.
        prepare: Make the network fast; without, it is as it was trained.

    Attributes:
        classes (tuple[str, ...]): name of each label: those that the checkpoint was trained on, if
            it says, else the config's.
        device (torch.device): of the model.
        model (ContrastiveVIS): the model.
        pipeline (FramePipeline): from frames to what the model takes.
        frames_per_pass (int): most frames of a file that go through the network at once.
        merge_cfg (dict | None): how the tracks of several sizes are merged; None with one size.

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
        tf32: bool = False,
        compile_network: bool = False,
        frames_per_pass: int | None = None,
        tta: bool = False,
        cfg_options: dict | None = None,
        prepare: bool = True,
    ) -> None:
        if weights is None:
            raise InputError(
                'weights: none were given, and an untrained model finds nothing; give a checkpoint'
            )
        if is_model_file(weights):
            if config is not None or amp or tf32 or compile_network or tta or cfg_options:
                raise InputError(
                    f'{os.fspath(weights)}: an exported model has its settings in it; leave out '
                    'the config and its options, or export it anew with others'
                )
            self._use_file(weights, device, frames_per_pass)
            return
        self.device = _device(device)
        config = config_of_name(weights) if config is None else config
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

        self.merge_cfg = None
        if tta:
            use_multi_scale(cfg)
            self.merge_cfg = dict(cfg.model.merge_cfg)
            cfg.model = cfg.model.module
        if amp:
            cfg.model.setdefault('test_cfg', {})['autocast'] = 'bfloat16'
        if tf32:
            cfg.model.setdefault('test_cfg', {})['tf32'] = True
        with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmvis_cl')):
            with build_errors_in_one_line(cfg):
                model = MODELS.build(cfg.model)
            if not isinstance(model, ContrastiveVIS):
                raise InputError(
                    f'{where}: its model is a {type(model).__name__}; VISInferencer needs a '
                    'ContrastiveVIS (tools/test.py tests any of mmdet)'
                )
            with build_errors_in_one_line(cfg):
                self.pipeline = FramePipeline(cfg.test_dataloader.dataset.pipeline, self.device)
            self.classes = _classes(cfg, where, trained_classes)
        misfit = compare_weights(f'the checkpoint {os.fspath(weights)}', state, model)
        if misfit is not None:
            raise InputError(f'{misfit.error} (config: {where})')
        num_classes = model.detector.num_classes
        if len(self.classes) != num_classes:
            raise InputError(
                f'{where}: the model has {num_classes} classes, but {len(self.classes)} are named '
                f'({", ".join(self.classes[:3])}, ...); mend test_dataloader.dataset.classes'
            )
        state = {key.removeprefix('module.'): value for key, value in state.items()}
        model.load_state_dict(state, strict=False)  # compared above
        self.model, self.cfg = model.to(self.device).eval(), cfg
        if prepare:
            prepare_for_inference(self.model, compile_network=compile_network)
        default = 8 if self.device.type == 'cuda' else 1
        self.frames_per_pass = frames_per_pass or model.test_cfg.get('frames_per_pass', default)
        self._session: TrackingSession | None = None

    def _use_file(
        self,
        path: str | os.PathLike,
        device: str | torch.device | None,
        frames_per_pass: int | None,
    ) -> None:
        """Be the model of an exported file."""
        compat.set_up_in_tool()
        from mmvis_cl.export.exported_vis import ExportedVIS
        from mmvis_cl.export.resize import pipeline_of
        from mmvis_cl.export.runtimes import open_model

        runtime = open_model(path, None if device is None else _device(device))
        self.device = torch.device('cpu')  # of what is around the network
        with DefaultScope.overwrite_default_scope('mmvis_cl'):
            self.model = ExportedVIS(runtime).eval()
            self.pipeline = FramePipeline(pipeline_of(runtime.description), self.device)
        self.classes = tuple(runtime.description.classes)
        self.merge_cfg = None
        self.frames_per_pass = frames_per_pass or runtime.description.batch or 1
        self._session = None

    def __repr__(self) -> str:
        """One line: what it was made of, and where it runs."""
        name = type(self.model.detector).__name__
        merged = ', tta' if self.merge_cfg is not None else ''
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
    ) -> TrackingSession:
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

    def passes(
        self, batches: Iterator[list[SourceFrame]], first: int = 0, ahead: bool = False
    ) -> Generator[tuple[NetworkPass, QueryStates], None, None]:
        """Run the network on batches of frames; sessions associate what it finds in them.

        Args:
            batches: T frames of one size each.
            first: Number of the first frame in its video.
            ahead: More batches may be asked for than were given back.

        Yields:
            Each pass of T frames through the network, and the states of their queries.
        """
        model = self.model
        with closing(self.pipeline.prepared(batches, first, ahead)) as prepared:
            yield from network_ahead(
                network_passes(prepared, model.data_preprocessor, self.device),
                lambda one: decided_on_cpu(model.query_states(one.inputs, one.samples)),
                self.device,
            )

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
    release = release_of(weights)
    if release:
        try:
            return release.from_theirs(weights)[0], None
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
