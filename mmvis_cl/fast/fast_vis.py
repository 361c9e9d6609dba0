"""The video model for inference: nothing kept outlives a video, passes can be CUDA graphs."""

from functools import cached_property

import torch
from mmdet.structures import DetDataSample
from torch import Tensor

from mmvis_cl.models.detectors.deformable_detr import QueryStates
from mmvis_cl.models.vis.contrastive_vis import ContrastiveVIS
from mmvis_cl.models.vis.video_session import VideoSession

from .cuda_graph import GraphedRuns, can_record
from .kept_weights import drop_all_kept, places


class FastVIS(ContrastiveVIS):
    """The video model, the same but for rounding."""

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
        """See :meth:`ContrastiveVIS.query_states`; repeated as one graph if the config says so."""
        wanted = self.test_cfg.get('cuda_graph')
        if not (wanted and can_record(frames, self.detector.attention)):
            return super().query_states(frames, samples)
        device = frames.device.type
        kind = (
            *(frames.shape, frames.dtype, frames.device, self.test_cfg.get('autocast')),
            *(torch.is_autocast_enabled(device), torch.get_autocast_dtype(device), self.training),
            torch.is_inference_mode_enabled(),  # its tensors cannot be written to outside of it
            *(tuple(sample.img_shape[:2]) for sample in samples),
        )
        plain, detector = super().query_states, self.detector
        return self._graphs(
            kind,
            lambda frames: plain(frames, samples),
            frames,
            lambda: (detector.state_dict(), detector.kept_geometry()),
        )
