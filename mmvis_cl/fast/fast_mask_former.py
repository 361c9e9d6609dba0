"""Mask2Former for inference: masks of the queries that are kept, small ones to attend by.

Each decoder layer attends where the masks of all queries are, so that these must be known; but only
at the size of its level. Resizing and the product of queries and mask features may change places:
the features are resized once a level, in place of the masks of all queries in each layer.
"""

import torch
from mmdet.structures import SampleList
from torch import Tensor
from torch.nn import functional as F

from mmvis_cl.models.dense_heads.mask_query_head import MaskQueryHead
from mmvis_cl.models.detectors.query_mask_former import MaskQueryStates, QueryMaskFormer

from .kept_weights import may_keep


class FastMaskQueryHead(MaskQueryHead):
    """Ours, with another way to its last prediction, the same but for rounding.

    A mask pixel that sits on its threshold may fall to the other side.
    """

    def last_prediction(self, maps: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """What the last layer gives, but for the masks.

        Args:
            maps (list[Tensor]): of the backbone at strides 4, 8, 16 and 32, each (B, C', h, w).

        Returns:
            tuple[Tensor, Tensor, Tensor]: normalised states (B, Q, C), class logits (B, Q, K + 1)
            and mask features (B, C, H / 4, W / 4).
        """
        features, levels = self.pixel_decoder(maps)
        inputs = []
        for i, level in enumerate(levels):
            size = level.shape[-2:]
            position = self.decoder_positional_encoding(level.new_zeros((1, *size)).bool())
            pixels = self.decoder_input_projs[i](level).flatten(2).transpose(1, 2)
            pixels = pixels + self.level_embed.weight[i]
            keys = pixels + position.flatten(2).transpose(1, 2)
            inputs.append((pixels, keys, shrunk(features, size).flatten(2)))
        batch = len(features)
        queries = self.query_feat.weight.expand(batch, -1, -1)
        position = self.query_embed.weight.expand(batch, -1, -1)
        for i, layer in enumerate(self.transformer_decoder.layers):
            pixels, keys, small = inputs[i % len(inputs)]
            embeds = self.mask_embed(self.transformer_decoder.post_norm(queries))
            seen = embeds @ small >= 0
            seen |= ~seen.any(-1, keepdim=True)
            attended = attend(layer.cross_attn.attn, queries + position, keys, pixels, seen)
            queries = layer.norms[0](queries + attended)
            queries = layer.self_attn(queries, query_pos=position, key_pos=position)
            queries = layer.norms[2](layer.ffn(layer.norms[1](queries)))
        states = self.transformer_decoder.post_norm(queries)
        return states, self.cls_embed(states), features


def shrunk(features: Tensor, size: tuple[int, int]) -> Tensor:
    """``F.interpolate`` (bilinear) of (B, C, H, W) to a size; four pixels' mean at whole steps."""
    (h, w), step = features.shape[-2:], features.shape[-2] // size[0]
    if step % 2 or (h, w) != (step * size[0], step * size[1]):
        return F.interpolate(features, size, mode='bilinear', align_corners=False)
    first, second = (slice(step // 2 - 1 + i, None, step) for i in (0, 1))
    rows = features[..., first, :] + features[..., second, :]
    return (rows[..., first] + rows[..., second]) / 4


def attend(attention, queries: Tensor, keys: Tensor, values: Tensor, seen: Tensor) -> Tensor:
    """PyTorch's ``MultiheadAttention`` without its weights as an output.

    Args:
        attention (nn.MultiheadAttention): its weights are used; without dropout.
        queries (Tensor): (B, Q, C).
        keys (Tensor): (B, P, C).
        values (Tensor): (B, P, C).
        seen (Tensor): (B, Q, P) bool, which pixels a query attends to, in every head.

    Returns:
        Tensor: (B, Q, C).
    """
    weights, biases = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
    heads = (attention.num_heads, -1)
    q, k, v = (
        F.linear(x, weight, bias).unflatten(2, heads).transpose(1, 2)
        for x, weight, bias in zip((queries, keys, values), weights, biases, strict=True)
    )
    summed = F.scaled_dot_product_attention(q, k, v, attn_mask=seen[:, None])
    return attention.out_proj(summed.transpose(1, 2).flatten(2))


class FastQueryMaskFormer(QueryMaskFormer):
    """Ours, the same but for rounding; no mask is made before its query is kept."""

    def query_states(
        self, inputs: Tensor, samples: SampleList, last_layer: bool = False
    ) -> MaskQueryStates:
        """See :meth:`QueryMaskFormer.query_states`.

        Returns:
            MaskQueryStates: where they are for testing, ``masks`` holds the mask features alone,
            (B, C, H / 4, W / 4).
        """
        if not (last_layer and may_keep() and isinstance(self.panoptic_head, FastMaskQueryHead)):
            return super().query_states(inputs, samples, last_layer)
        for sample in samples:
            sample.set_metainfo(dict(batch_input_shape=tuple(inputs.shape[-2:])))
        maps = self.extract_feat(inputs)
        with torch.autocast(inputs.device.type, enabled=False):
            head = self.panoptic_head
            states, scores, features = head.last_prediction([m.float() for m in maps])
            return self.states_of(states, [scores], [features], samples)

    def mask_logits(self, states: MaskQueryStates, image: int, index: Tensor, img_shape) -> Tensor:
        """Mask logits (n, H / 4, W / 4) over the padded input, of queries (n,) of one image."""
        if len(states.masks) > 1:  # made for all queries, one for each prediction
            return super().mask_logits(states, image, index, img_shape)
        features = states.masks[-1][image]
        with torch.autocast(features.device.type, enabled=False):
            embeds = self.panoptic_head.mask_embed(states.states[-1, image, index])
            return (embeds @ features.flatten(1)).unflatten(1, features.shape[-2:])
