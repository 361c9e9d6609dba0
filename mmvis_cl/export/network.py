"""The image network as a pure function of frames: what a file of it computes."""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmvis_cl.errors import InputError
from mmvis_cl.fast.fast_mask_former import attend
from mmvis_cl.models.dense_heads.mask_query_head import MaskQueryHead
from mmvis_cl.models.detectors.deformable_detr import MaskDeformableDETR
from mmvis_cl.models.detectors.query_mask_former import QueryMaskFormer
from mmvis_cl.models.layers.deformable_attention import GatherDeformableAttention
from mmvis_cl.models.layers.deformable_transformer import DeformableEncoder
from mmvis_cl.models.layers.pixel_decoder import MaskPixelDecoder
from mmvis_cl.models.vis.contrastive_vis import ContrastiveVIS

from .sampled_attention import SampledAttention

# Names of the tensors that are computed, in their order.
OUTPUTS = dict(
    MaskDeformableDETR=(
        *('logits', 'boxes', 'centers', 'embeds'),
        *('mask_features', 'mask_parameters'),
    ),
    QueryMaskFormer=('logits', 'embeds', 'mask_features', 'mask_parameters'),
)


class FrameNetwork(nn.Module):
    """From frames and their size to a tuple of tensors, by the weights of a video model.

    Args:
        model (ContrastiveVIS): a copy of its weights is taken.
    """

    def __init__(self, model: ContrastiveVIS) -> None:
        super().__init__()
        model = copy.deepcopy(model).eval()
        self.detector, self.embed_head = model.detector, model.embed_head
        for module in self.detector.modules():
            if type(module) is GatherDeformableAttention:
                module.__class__ = SampledAttention

    def forward(self, frames: Tensor, size: Tensor) -> tuple[Tensor, ...]:
        """Run it.

        Args:
            frames (Tensor): (B, 3, H, W) normalised, padded with zeros at the right and the bottom;
                H and W multiples of 32.
            size (Tensor): (2,) long, h and w without padding.

        Returns:
            tuple[Tensor, ...]: those of ``OUTPUTS``.
        """
        raise NotImplementedError


class DETRNetwork(FrameNetwork):
    """That of a :class:`MaskDeformableDETR`.

    With Q queries it computes class logits (B, Q, K); boxes (B, Q, 4; cx, cy, w, h over the
    unpadded size); the centres (B, Q, 2; x, y over the same) that the masks are drawn around;
    embeddings (B, Q, E); mask features (B, F, H / 8, W / 8); and the parameters (B, Q, P) of each
    query's dynamic convolutions.
    """

    def forward(self, frames: Tensor, size: Tensor) -> tuple[Tensor, ...]:
        """See :meth:`FrameNetwork.forward`."""
        detector = self.detector
        feats = detector.extract_feat(frames)
        shapes = [tuple(feat.shape[-2:]) for feat in feats]
        padding = [_padding(frames.shape[-2:], shape, size) for shape in shapes]
        positions = [
            detector.positional_encoding(mask).flatten(2).transpose(1, 2) + detector.level_embed[i]
            for i, mask in enumerate(padding)
        ]
        ratios = torch.stack([detector.get_valid_ratio(mask) for mask in padding], 1)
        mask = torch.cat([mask.flatten(1) for mask in padding], 1)
        geometry = dict(spatial_shapes=shapes, level_start_index=None, valid_ratios=ratios)

        memory = torch.cat([feat.flatten(2).transpose(1, 2) for feat in feats], 1)
        points = _points(shapes, ratios)
        for layer in detector.encoder.layers:
            memory = layer(
                query=memory,
                query_pos=torch.cat(positions, 1),
                key_padding_mask=mask,
                reference_points=points,
                **geometry,
            )
        queries, _ = detector.pre_decoder(memory, mask, shapes)
        decoded = detector.forward_decoder(**queries, memory_mask=mask, **geometry)
        states, references = decoded['hidden_states'], decoded['references']
        logits, boxes = detector.bbox_head.last_layer(states, references)

        levels = memory.split([h * w for h, w in shapes], 1)
        maps = [
            level.transpose(1, 2).unflatten(2, shape)
            for level, shape in zip(levels[:3], shapes, strict=False)
        ]
        head = detector.mask_head
        return (
            logits[-1],
            boxes[-1],
            references[-2][..., :2],
            self.embed_head(states[-1]),
            head.mask_features(maps),
            head.controller(states[-1]),
        )


def _padding(whole: tuple[int, int], shape: tuple[int, int], size: Tensor) -> Tensor:
    """(1, h, w) bool, which pixels of a level ``F.interpolate`` takes from the padding."""
    rows, columns = (
        (torch.arange(wanted, device=size.device) * (length / wanted)).floor() >= size[axis]
        for axis, (length, wanted) in enumerate(zip(whole, shape, strict=True))
    )
    return (rows[:, None] | columns)[None]


def _points(shapes: list[tuple[int, int]], ratios: Tensor) -> Tensor:
    """Centres of all pixels of all levels, over the padded size of each: (1, P, L, 2) x, y."""
    levels = []
    for level, shape in enumerate(shapes):
        y, x = (
            (torch.arange(side, device=ratios.device) + 0.5) / (ratios[0, level, axis] * side)
            for side, axis in zip(shape, (1, 0), strict=True)
        )
        levels.append(torch.stack((x.expand(shape), y[:, None].expand(shape)), -1).flatten(0, 1))
    return torch.cat(levels)[None, :, None] * ratios[:, None]


class MaskFormerNetwork(FrameNetwork):
    """That of a :class:`QueryMaskFormer` with a :class:`MaskQueryHead`.

    With Q queries it computes logits (B, Q, K + 1) of classes and background, embeddings
    (B, Q, E), mask features (B, C, H / 4, W / 4), and each query's parameters (B, Q, C): its mask
    is their product. The queries have no boxes but those around their masks. As mmdet's
    Mask2Former it does not look at ``size``.
    """

    def forward(self, frames: Tensor, size: Tensor) -> tuple[Tensor, ...]:
        """See :meth:`FrameNetwork.forward`."""
        head = self.detector.panoptic_head
        features, levels = self._pixels(head.pixel_decoder, self.detector.extract_feat(frames))
        inputs = []
        for i, level in enumerate(levels):
            none = torch.zeros_like(level[:1, 0], dtype=torch.bool)
            position = head.decoder_positional_encoding(none).flatten(2).transpose(1, 2)
            pixels = head.decoder_input_projs[i](level).flatten(2).transpose(1, 2)
            pixels = pixels + head.level_embed.weight[i]
            small = F.interpolate(features, level.shape[-2:], mode='bilinear').flatten(2)
            inputs.append((pixels, pixels + position, small))
        batch = frames.shape[0]
        queries = head.query_feat.weight.expand(batch, -1, -1)
        position = head.query_embed.weight.expand(batch, -1, -1)
        for i, layer in enumerate(head.transformer_decoder.layers):
            pixels, keys, small = inputs[i % len(inputs)]
            embeds = head.mask_embed(head.transformer_decoder.post_norm(queries))
            seen = embeds @ small >= 0
            seen = seen | ~seen.any(-1, keepdim=True)
            attended = attend(layer.cross_attn.attn, queries + position, keys, pixels, seen)
            queries = layer.norms[0](queries + attended)
            queries = layer.self_attn(queries, query_pos=position, key_pos=position)
            queries = layer.norms[2](layer.ffn(layer.norms[1](queries)))
        states = head.transformer_decoder.post_norm(queries)
        return head.cls_embed(states), self.embed_head(states), features, head.mask_embed(states)

    @staticmethod
    def _pixels(decoder: MaskPixelDecoder, maps: tuple[Tensor, ...]) -> tuple[Tensor, list[Tensor]]:
        """What mmdet's pixel decoder gives: mask features, and levels from the coarsest on."""
        coarse = maps[: -decoder.num_encoder_levels - 1 : -1]
        shapes = [tuple(level.shape[-2:]) for level in coarse]
        projected, positions = [], []
        for i, level in enumerate(coarse):
            none = torch.zeros_like(level[:1, 0], dtype=torch.bool)
            position = decoder.postional_encoding(none).flatten(2).transpose(1, 2)
            positions.append(position + decoder.level_encoding.weight[i])
            projected.append(decoder.input_convs[i](level).flatten(2).transpose(1, 2))
        ratios = maps[0].new_ones(1, len(coarse), 2)
        memory, points = torch.cat(projected, 1), _points(shapes, ratios)
        for layer in decoder.encoder.layers:
            memory = layer(
                query=memory,
                query_pos=torch.cat(positions, 1),
                reference_points=points,
                spatial_shapes=shapes,
                level_start_index=None,
                key_padding_mask=None,
            )
        parts = memory.split([h * w for h, w in shapes], 1)
        levels = [
            part.transpose(1, 2).unflatten(2, shape)
            for part, shape in zip(parts, shapes, strict=True)
        ]
        for i in range(decoder.num_input_levels - decoder.num_encoder_levels - 1, -1, -1):
            lateral = decoder.lateral_convs[i](maps[i])
            finer = F.interpolate(levels[-1], lateral.shape[-2:], mode='bilinear')
            levels.append(decoder.output_convs[i](lateral + finer))
        return decoder.mask_feature(levels[-1]), levels[: decoder.num_outs]


def network_of(model: ContrastiveVIS) -> FrameNetwork:
    """The image network of a video model, to be exported.

    Raises:
        InputError: It is of a kind that cannot be exported.
    """
    detector = model.detector
    if type(detector) is MaskDeformableDETR and type(detector.encoder) is DeformableEncoder:
        return DETRNetwork(model).eval()
    head = getattr(detector, 'panoptic_head', None)
    if type(detector) is QueryMaskFormer and type(head) is MaskQueryHead:
        return MaskFormerNetwork(model).eval()
    name = type(detector).__name__ + (f' with a {type(head).__name__}' if head is not None else '')
    raise InputError(
        f'export: a {name} cannot be exported; use a model with a MaskDeformableDETR, or a '
        'QueryMaskFormer with a MaskQueryHead'
    )
