"""From frames in memory to what the model takes, by a config's test pipeline."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from typing import NamedTuple

import numpy as np
import torch
from mmcv.transforms import Compose, LoadAnnotations, LoadImageFromFile, TransformBroadcaster
from mmdet.datasets.transforms import PackTrackInputs
from mmdet.structures import DetDataSample, TrackDataSample
from torch import Tensor, nn

from mmvis_cl.datasets.read_ahead import ReadAhead
from mmvis_cl.datasets.transforms import AlignedResize
from mmvis_cl.datasets.video_source import SourceFrame
from mmvis_cl.errors import InputError
from mmvis_cl.fast.device_resize import resize_frames
from mmvis_cl.registry import TRANSFORMS

# Batches that are ready for a GPU and wait; one of eight frames of 1280x720 has 22 MB.
BATCHES_AHEAD = 2


class PreparedRun(NamedTuple):
    """Frames for one run of the network (there is one a size with multi-scale testing).

    Attributes:
        frames (Tensor): (T, 3, h, w) uint8 BGR; or (T, H, W, 3) uint8 RGB, of the original size.
        sample (TrackDataSample): of T frames.
        resize_to (tuple[int, int], optional): h, w that frames of the original size get.
        heights_first (bool): see :func:`resize_frames`.
    """

    frames: Tensor
    sample: TrackDataSample
    resize_to: tuple[int, int] | None = None
    heights_first: bool = False

    def on(self, device: torch.device) -> Tensor:
        """The frames (T, 3, h, w) on a device; nothing waits for them where they are pinned."""
        frames = self.frames.to(device, non_blocking=True)
        if self.resize_to is None:
            return frames
        resized = resize_frames(frames, self.resize_to, self.heights_first)
        return resized.flip(-1).permute(0, 3, 1, 2)


PreparedBatch = tuple[list[SourceFrame], list[PreparedRun]]


class NetworkPass(NamedTuple):
    """Frames that go through the network at once, in one of the runs.

    Attributes:
        frames (list[SourceFrame]): T frames.
        run (int): which of the runs.
        is_last_run (bool): the frames are done after it.
        inputs (Tensor): (T, 3, H, W), normalised and padded, on the model's device.
        samples (list[DetDataSample]): T samples with ``img_shape``.
    """

    frames: list[SourceFrame]
    run: int
    is_last_run: bool
    inputs: Tensor
    samples: list[DetDataSample]


def network_passes(
    prepared: Iterable[PreparedBatch], preprocessor: nn.Module, device: torch.device
) -> Iterator[NetworkPass]:
    """Bring batches to the device, normalise and pad them; a pass for each of their runs."""
    for frames, runs in prepared:
        for number, run in enumerate(runs):
            data = preprocessor(dict(inputs=[run.on(device)], data_samples=[run.sample]))
            samples = list(data['data_samples'][0])
            yield NetworkPass(frames, number, number == len(runs) - 1, data['inputs'][0], samples)


class FramePipeline:
    """A config's test pipeline for frames that are in memory.

    For a model on a GPU the frames are prepared in a thread, a few batches ahead, and where the
    pipeline does nothing but an :class:`AlignedResize`, the GPU resizes them, to the same pixels:
    Pillow takes 8 ms for a frame of 1280x720.

    Args:
        steps (list[dict]): the transforms of the config.
        device (torch.device): of the model.
    """

    def __init__(self, steps: list[dict], device: torch.device) -> None:
        self._on_gpu = device.type == 'cuda'
        self._to_float32 = False
        # of each size a run that a GPU resizes to the pipeline's pixels, or None
        self._alike: dict[tuple[int, int], PreparedRun | None] = {}
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

    def prepared(
        self, batches: Iterator[list[SourceFrame]], first: int, ahead: bool
    ) -> Generator[PreparedBatch, None, None]:
        """Batches with their runs.

        Args:
            batches (Iterator[list[SourceFrame]]): of T frames each, all of one size in a batch.
            first (int): number of the first frame in the video.
            ahead (bool): more batches may be asked for than are used yet.
        """
        if not (self._on_gpu and ahead):
            yield from self._prepared(batches, first)
            return
        with closing(ReadAhead(self._prepared(batches, first), BATCHES_AHEAD)) as reader:
            yield from reader

    def _prepared(
        self, batches: Iterator[list[SourceFrame]], first: int
    ) -> Generator[PreparedBatch, None, None]:
        for frames in batches:
            images = [frame.image for frame in frames]
            runs = self._for_gpu(images, first) if self._on_gpu else None
            if runs is None:
                runs = [PreparedRun(*run) for run in self(images, first)]
            if self._on_gpu:
                runs = [run._replace(frames=run.frames.pin_memory()) for run in runs]
            yield frames, runs
            first += len(frames)

    def _for_gpu(self, images: list[np.ndarray], first: int) -> list[PreparedRun] | None:
        """The frames as they are, to be resized there; None where the pipeline does more."""
        size = images[0].shape[:2]
        if size not in self._alike:
            self._alike[size] = self._resized_alike(size)
        alike = self._alike[size]
        if alike is None:
            return None
        sample = TrackDataSample()
        sample.video_data_samples = [
            DetDataSample(metainfo=dict(alike.sample[0].metainfo, img_id=number, frame_id=number))
            for number in range(first, first + len(images))
        ]
        return [alike._replace(frames=torch.from_numpy(np.stack(images)), sample=sample)]

    def _resized_alike(self, size: tuple[int, int]) -> PreparedRun | None:
        """How a GPU resizes frames of a size to the pipeline's pixels; None if it cannot."""
        steps = self._transforms.transforms
        if not (
            len(steps) == 2
            and type(steps[0]) is TransformBroadcaster
            and [type(step) for step in steps[0].transforms] == [AlignedResize]
            and isinstance(steps[1], PackTrackInputs)
        ):
            return None
        # all pixels of noise would show a difference, those of a black frame none
        noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        ((expected, sample),) = self([noise], 0)
        for heights_first in (False, True):
            to = tuple(sample[0].img_shape[:2])
            run = PreparedRun(torch.from_numpy(noise)[None], sample, to, heights_first)
            if torch.equal(run.on(torch.device('cpu')), expected):
                return run
        return None
