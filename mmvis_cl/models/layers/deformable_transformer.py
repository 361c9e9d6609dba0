"""Encoder and decoder of Deformable DETR: mmdet's, with our attention over the levels.

mmdet's layers name mmcv's module in their construction; nothing else differs. Weights are drawn in
mmdet's order.
"""

from mmcv.cnn import build_norm_layer
from mmcv.cnn.bricks.transformer import FFN, MultiheadAttention
from mmdet.models.layers.transformer import (
    DeformableDetrTransformerDecoder,
    DeformableDetrTransformerDecoderLayer,
    DeformableDetrTransformerEncoder,
    DeformableDetrTransformerEncoderLayer,
)
from mmengine.model import ModuleList

from .deformable_attention import GatherDeformableAttention


class DeformableEncoderLayer(DeformableDetrTransformerEncoderLayer):
    """Deformable self-attention of the pixels (B, P, C), then a feed-forward network."""

    def _init_layers(self) -> None:
        self.self_attn = GatherDeformableAttention(**self.self_attn_cfg)
        self.embed_dims = self.self_attn.embed_dims
        self.ffn = FFN(**self.ffn_cfg)
        norms = [build_norm_layer(self.norm_cfg, self.embed_dims)[1] for _ in range(2)]
        self.norms = ModuleList(norms)


class DeformableDecoderLayer(DeformableDetrTransformerDecoderLayer):
    """Self-attention of the queries (B, Q, C), deformable attention to the pixels, then the FFN."""

    def _init_layers(self) -> None:
        self.self_attn = MultiheadAttention(**self.self_attn_cfg)
        self.cross_attn = GatherDeformableAttention(**self.cross_attn_cfg)
        self.embed_dims = self.self_attn.embed_dims
        self.ffn = FFN(**self.ffn_cfg)
        norms = [build_norm_layer(self.norm_cfg, self.embed_dims)[1] for _ in range(3)]
        self.norms = ModuleList(norms)


class DeformableEncoder(DeformableDetrTransformerEncoder):
    """mmdet's encoder of :class:`DeformableEncoderLayer`."""

    def _init_layers(self) -> None:
        layers = [DeformableEncoderLayer(**self.layer_cfg) for _ in range(self.num_layers)]
        self.layers = ModuleList(layers)
        self.embed_dims = layers[0].embed_dims


class DeformableDecoder(DeformableDetrTransformerDecoder):
    """mmdet's decoder of :class:`DeformableDecoderLayer`."""

    def _init_layers(self) -> None:
        layers = [DeformableDecoderLayer(**self.layer_cfg) for _ in range(self.num_layers)]
        self.layers = ModuleList(layers)
        self.embed_dims = layers[0].embed_dims
