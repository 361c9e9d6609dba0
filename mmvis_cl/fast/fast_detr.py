"""The image network for inference: what all masks share is part of its pass."""

from mmdet.structures import SampleList
from torch import Tensor

from mmvis_cl.models.detectors.deformable_detr import QueryStates

from .kept_geometry import KeptGeometryDETR
from .kept_weights import may_keep


class FastDETR(KeptGeometryDETR):
    """Ours, the same but for rounding.

    The mask features are computed in the pass, of all its images at once and in the same CUDA
    graph. Their ten operations are launched for each frame otherwise, between its pass and its
    masks, while a GPU waits.
    """

    def query_states(
        self, inputs: Tensor, samples: SampleList, last_layer: bool = False
    ) -> QueryStates:
        """See :meth:`MaskDeformableDETR.query_states`.

        Returns:
            QueryStates: where they are for testing, ``maps`` holds the mask features alone,
            (B, feat_channels, H / 8, W / 8).
        """
        states = super().query_states(inputs, samples, last_layer)
        if last_layer and may_keep():
            return states._replace(maps=[self.mask_head.mask_features(states.maps)])
        return states

    def mask_features_of(self, states: QueryStates, image: int) -> Tensor:
        """The mask features (feat_channels, H / 8, W / 8) of one image."""
        if len(states.maps) == 1:
            return states.maps[0][image]
        return super().mask_features_of(states, image)
