"""The image network as a pure function of frames: what a file of it computes."""

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmvis_cl.errors import InputError
from mmvis_cl.models.detectors.deformable_detr import MaskDeformableDETR
from mmvis_cl.models.layers.deformable_attention import GatherDeformableAttention
from mmvis_cl.models.layers.deformable_transformer import DeformableEncoder
from mmvis_cl.models.vis.contrastive_vis import ContrastiveVIS
from mmvis_cl.ops.deformable_sums import sampling_points


class NetworkOutputs(NamedTuple):
    """What is computed of B frames with Q queries; the names are those of a file's outputs.

    Attributes:
        logits (Tensor): (B, Q, K) class logits.
        boxes (Tensor): (B, Q, 4) cx, cy, w, h over the unpadded size.
        centers (Tensor): (B, Q, 2) x, y of the same, which the masks are drawn around.
        embeds (Tensor): (B, Q, E).
        mask_features (Tensor): (B, F, H / 8, W / 8).
        mask_parameters (Tensor): (B, Q, P), of each query's dynamic convolutions.
    """

    logits: Tensor
    boxes: Tensor
    centers: Tensor
    embeds: Tensor
    mask_features: Tensor
    mask_parameters: Tensor


class GridSampledAttention(GatherDeformableAttention):
    """Ours with the operation that every runtime has: bilinear samples of a grid, level by level.

    ``spatial_shapes`` is a list of (h, w), which may be symbols.
    """

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        identity: Tensor | None = None,
        query_pos: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
        reference_points: Tensor | None = None,
        spatial_shapes: list[tuple[int, int]] | None = None,
        **kwargs,
    ) -> Tensor:
        """See :meth:`GatherDeformableAttention.forward`."""
        value = self.value_proj(query if value is None else value)
        value = value * (~key_padding_mask).to(value)[..., None]
        value = value.unflatten(2, (self.num_heads, -1)).permute(0, 2, 3, 1).flatten(0, 1)
        projected = self.point_projection()(query if query_pos is None else query + query_pos)
        sizes = torch.stack(
            [torch.stack((_number(w, projected), _number(h, projected))) for h, w in spatial_shapes]
        ).T
        x, y, weights = sampling_points(
            projected.unflatten(2, (3, self.num_heads, -1)), reference_points, sizes
        )
        levels = value.split([h * w for h, w in spatial_shapes], 2)
        summed = 0
        for level, (h, w) in enumerate(spatial_shapes):
            own = slice(level * self.num_points, (level + 1) * self.num_points)
            # from pixels, 0 at the centre of the first one, to -1 .. 1 from side to side
            grid = torch.stack(((2 * x[..., own] + 1) / w - 1, (2 * y[..., own] + 1) / h - 1), -1)
            samples = F.grid_sample(
                levels[level].unflatten(2, (h, w)),
                grid.transpose(1, 2).flatten(0, 1),
                mode='bilinear',
                padding_mode='zeros',
                align_corners=False,
            )  # (B * heads, C / heads, Q, K)
            of_level = weights[..., own].transpose(1, 2).flatten(0, 1)
            summed = summed + (samples * of_level[:, None]).sum(3)
        summed = summed.unflatten(0, (-1, self.num_heads)).flatten(1, 2).transpose(1, 2)
        return self.output_proj(summed) + (query if identity is None else identity)


class SymbolicPointsEncoder(DeformableEncoder):
    """Its encoder, for sizes that may be symbols."""

    @staticmethod
    def get_encoder_reference_points(
        spatial_shapes: list[tuple[int, int]], valid_ratios: Tensor, device: object
    ) -> Tensor:
        """Centres of all pixels over the padded size of each level: (B, P, L, 2) x, y."""
        levels = []
        for level, (h, w) in enumerate(spatial_shapes):
            x, y = (torch.arange(side, device=valid_ratios.device) + 0.5 for side in (w, h))
            points = torch.stack((x.expand(h, w), y[:, None].expand(h, w)), -1).flatten(0, 1)
            sides = torch.stack((_number(w, points), _number(h, points)))
            levels.append(points / (valid_ratios[:, None, level] * sides))
        return torch.cat(levels, 1)[:, :, None] * valid_ratios[:, None]


def _nearest(length: int, wanted: int, like: Tensor) -> Tensor:
    """(wanted,) which of so many pixels each one is that ``F.interpolate`` takes."""
    scale = _number(length, like) / _number(wanted, like)
    return (torch.arange(wanted, device=like.device) * scale).floor()


def _number(value: int, like: Tensor) -> Tensor:
    """A number, which may be a symbol, as a tensor."""
    return torch.ones((), dtype=like.dtype, device=like.device) * value


class ExportedNetwork(nn.Module):
    """From frames and their size to :class:`NetworkOutputs`, by the weights of a video model.

    Args:
        model (ContrastiveVIS): with a :class:`MaskDeformableDETR`; a copy of it is taken.

    Raises:
        InputError: it has another network.
    """

    def __init__(self, model: ContrastiveVIS) -> None:
        super().__init__()
        if not isinstance(model.detector, MaskDeformableDETR):
            raise InputError(
                f'export: a {type(model.detector).__name__} cannot be exported yet; use a model '
                'with a MaskDeformableDETR'
            )
        model = copy.deepcopy(model).eval()
        self.detector, self.embed_head = model.detector, model.embed_head
        for module in self.detector.modules():
            if isinstance(module, GatherDeformableAttention):
                module.__class__ = GridSampledAttention
        self.detector.encoder.__class__ = SymbolicPointsEncoder

    def forward(self, frames: Tensor, size: Tensor) -> NetworkOutputs:
        """Run it.

        Args:
            frames (Tensor): (B, 3, H, W) normalised, padded with zeros; H and W multiples of 32.
            size (Tensor): (2,) long, h and w without padding.
        """
        detector = self.detector
        feats = detector.extract_feat(frames)
        encoder_inputs, decoder_inputs = self._geometry(frames, feats, size)
        encoded = detector.forward_encoder(**encoder_inputs)
        queries, _ = detector.pre_decoder(**encoded)
        decoded = detector.forward_decoder(**decoder_inputs, **queries)
        states, references = decoded['hidden_states'], decoded['references']
        logits, boxes = detector.bbox_head.last_layer(states, references)
        shapes = encoder_inputs['spatial_shapes']
        levels = encoded['memory'].split([h * w for h, w in shapes], 1)
        maps = [
            level.transpose(1, 2).unflatten(2, shape)
            for level, shape in zip(levels[:3], shapes, strict=False)
        ]
        head = detector.mask_head
        return NetworkOutputs(
            logits[-1],
            boxes[-1],
            references[-2][..., :2],
            self.embed_head(states[-1]),
            head.mask_features(maps),
            head.controller(states[-1]),
        )

    def _geometry(
        self, frames: Tensor, feats: tuple[Tensor, ...], size: Tensor
    ) -> tuple[dict, dict]:
        """What mmdet's ``pre_transformer`` gives, with sizes that may be symbols."""
        detector = self.detector
        features, positions, masks, ratios = [], [], [], []
        for level, feat in enumerate(feats):
            rows, columns = (
                _nearest(frames.shape[axis], feat.shape[axis], frames) >= size[axis]
                for axis in (-2, -1)
            )
            mask = (rows[:, None] | columns)[None]
            position = detector.positional_encoding(mask).flatten(2).transpose(1, 2)
            positions.append(position + detector.level_embed[level])
            features.append(feat.flatten(2).transpose(1, 2))
            masks.append(mask.flatten(1))
            ratios.append(detector.get_valid_ratio(mask))
        frames_of = feats[0].shape[0]
        shared = dict(
            spatial_shapes=[tuple(feat.shape[-2:]) for feat in feats],
            level_start_index=None,
            valid_ratios=torch.stack(ratios, 1).expand(frames_of, -1, -1),
        )
        mask = torch.cat(masks, 1).expand(frames_of, -1)
        of_encoder = dict(
            feat=torch.cat(features, 1),
            feat_mask=mask,
            feat_pos=torch.cat(positions, 1).expand(frames_of, -1, -1),
            **shared,
        )
        return of_encoder, dict(memory_mask=mask, **shared)
