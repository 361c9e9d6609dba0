"""The video model for inference: nothing kept outlives a video, passes can be CUDA graphs."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cached_property

import torch
from mmdet.structures import DetDataSample, TrackSampleList
from mmengine.structures import InstanceData
from torch import Tensor

from mmvis_cl.models.detectors.deformable_detr import QueryStates
from mmvis_cl.models.vis.contrastive_vis import ContrastiveVIS
from mmvis_cl.models.vis.video_session import VideoSession
from mmvis_cl.threads import one_thread

from .cuda_graph import GraphedRuns, can_record
from .fast_detr import FastDETR
from .kept_weights import drop_all_kept, places

logger = logging.getLogger(__name__)


class FastVIS(ContrastiveVIS):
    """The video model, the same but for rounding."""

    _cannot_record = False

    @cached_property
    def _graphs(self) -> GraphedRuns:
        return GraphedRuns()

    def start_video(
        self, video_id: int | str, length: int, ori_shape: tuple[int, int], flip: bool = False
    ) -> VideoSession:
        """See :meth:`ContrastiveVIS.start_video`; what is kept from weights is made anew."""
        drop_all_kept(self)
        self._graphs.use_weights_at(places(self.detector))
        return super().start_video(video_id, length, ori_shape, flip)

    def query_states(self, frames: Tensor, samples: list[DetDataSample]) -> QueryStates:
        """See :meth:`ContrastiveVIS.query_states`; on a GPU repeated as one graph.

        Where the config does not ask for graphs, a network that cannot be recorded goes without.
        """
        wanted = self.test_cfg.get('cuda_graph')
        if wanted is None:
            wanted = type(self.detector) is FastDETR and not self._cannot_record
        tf32 = bool(self.test_cfg.get('tf32')) and frames.is_cuda

        def plain(frames: Tensor, samples: list[DetDataSample]) -> QueryStates:
            with tf32_products() if tf32 else nullcontext():
                return super(FastVIS, self).query_states(frames, samples)

        if not (wanted and can_record(frames, self.detector.attention)):
            return plain(frames, samples)
        device, detector = frames.device.type, self.detector
        kind = (
            *(frames.shape, frames.dtype, frames.device, self.test_cfg.get('autocast')),
            *(torch.is_autocast_enabled(device), torch.get_autocast_dtype(device), self.training),
            tf32,
            torch.is_inference_mode_enabled(),  # its tensors cannot be written to outside of it
            *(tuple(sample.img_shape[:2]) for sample in samples),
        )
        try:
            return self._graphs(
                kind,
                lambda frames: plain(frames, samples),
                frames,
                lambda: (detector.state_dict(), detector.kept_geometry()),
            )
        except RuntimeError as error:  # also of memory, which a graph keeps
            if self.test_cfg.get('cuda_graph'):
                raise
            self._cannot_record = True
            reason = str(error).strip().splitlines()[0]
            logger.warning(
                'the network cannot be recorded as a CUDA graph (%s); it runs without, slower. '
                'test_cfg.cuda_graph=False leaves the trial out',
                reason,
            )
            return plain(frames, samples)

    def test_step(self, data: dict) -> TrackSampleList:
        """See mmengine's; a batch with ``states`` has been normalised and seen by the network."""
        return self.predict(**data) if 'states' in data else super().test_step(data)

    def track_frame(
        self, session: VideoSession, states: QueryStates, t: int, img_shape: tuple[int, int]
    ) -> InstanceData:
        """See :meth:`ContrastiveVIS.track_frame`; beside a GPU the CPU decides in one thread."""
        if states.states.is_cuda:
            with one_thread():
                return super().track_frame(session, states, t, img_shape)
        return super().track_frame(session, states, t, img_shape)


@contextmanager
def tf32_products() -> Iterator[None]:
    """Let float32 matrix products on a GPU go through its tensor cores.

    cuDNN's convolutions do by PyTorch's default.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision('high')
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
