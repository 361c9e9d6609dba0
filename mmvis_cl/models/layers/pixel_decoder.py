"""Mask2Former's pixel decoder: mmdet's, with our attention over the levels."""

from copy import deepcopy

from mmdet.models.layers import MSDeformAttnPixelDecoder
from mmdet.models.layers.transformer import Mask2FormerTransformerEncoder

from mmvis_cl.registry import MODELS

from .deformable_transformer import DeformableEncoder


class PixelEncoder(DeformableEncoder, Mask2FormerTransformerEncoder):
    """mmdet's encoder of the pixels of all levels (B, P, C), of layers with our attention."""


@MODELS.register_module()
class MaskPixelDecoder(MSDeformAttnPixelDecoder):
    """mmdet's module, whose attention sums by the fastest way that is there.

    Same parameters, same outputs but for rounding.

    Args:
        *args: of mmdet's ``MSDeformAttnPixelDecoder``.
        encoder (dict): as mmdet's.
        attention (str): how deformable attention sums its samples, see
            :class:`MaskDeformableDETR`.
        **kwargs: of mmdet's ``MSDeformAttnPixelDecoder``.
    """

    def __init__(self, *args, encoder: dict, attention: str = 'auto', **kwargs) -> None:
        super().__init__(*args, encoder=deepcopy(encoder), **kwargs)
        encoder = deepcopy(encoder)
        encoder.layer_cfg.self_attn_cfg.way = attention
        self.encoder = PixelEncoder(**encoder)
