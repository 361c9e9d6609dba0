"""Deformable attention in operations that every runtime has."""

import torch
from torch import Tensor
from torch.nn import functional as F

from mmvis_cl.models.layers.deformable_attention import GatherDeformableAttention


class SampledAttention(GatherDeformableAttention):
    """Ours, same parameters, whose sums are bilinear samples of each level (GridSample).

    The kernels of :mod:`mmvis_cl.ops` are in no runtime. Sizes may be symbols: none is looked at.
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
        """See :meth:`GatherDeformableAttention.forward`.

        Args:
            query (Tensor): (B, Q, C).
            key (Tensor, optional): not used.
            value (Tensor, optional): (B, P, C), the pixels of all levels; the query if None.
            identity (Tensor, optional): (B, Q, C), added to the result; the query if None.
            query_pos (Tensor, optional): (B or 1, Q, C), added to the query.
            key_padding_mask (Tensor, optional): (1, P) bool, True in the padding.
            reference_points (Tensor): (B or 1, Q, L, 2) x, y or (B, Q, L, 4) cx, cy, w, h over the
                padded size.
            spatial_shapes (list[tuple[int, int]]): h and w of the L levels.
            **kwargs: not used.

        Returns:
            Tensor: (B, Q, C).
        """
        heads, levels, points = self.num_heads, self.num_levels, self.num_points
        value = self.value_proj(query if value is None else value)
        if key_padding_mask is not None:
            value = value.masked_fill(key_padding_mask[..., None], 0.0)
        maps = value.transpose(1, 2).unflatten(1, (heads, -1)).flatten(0, 1)  # (B * heads, c, P)

        asked = query if query_pos is None else query + query_pos
        offsets = self.sampling_offsets(asked).unflatten(2, (heads, levels, points, 2))
        reference = reference_points[:, :, None, :, None]
        if reference_points.shape[-1] == 4:
            offsets = offsets * (reference[..., 2:] * (0.5 / points))
        else:
            sizes = torch.stack(
                [number(side, offsets) for h, w in spatial_shapes for side in (w, h)]
            )
            offsets = offsets / sizes.view(levels, 1, 2)
        # GridSample counts from -1 to 1, from side to side
        places = (reference[..., :2] + offsets) * 2 - 1
        places = places.transpose(1, 2).flatten(0, 1)  # (B * heads, Q, L, K, 2)
        weights = self.attention_weights(asked).unflatten(2, (heads, -1)).softmax(-1)
        weights = weights.transpose(1, 2).flatten(0, 1)[:, None]  # (B * heads, 1, Q, L * K)

        parts = maps.split([h * w for h, w in spatial_shapes], 2)
        samples = [
            F.grid_sample(part.unflatten(2, shape), places[:, :, level], align_corners=False)
            for level, (part, shape) in enumerate(zip(parts, spatial_shapes, strict=True))
        ]
        summed = (torch.cat(samples, 3) * weights).sum(3)  # (B * heads, c, Q)
        summed = summed.unflatten(0, (-1, heads)).flatten(1, 2).transpose(1, 2)
        return self.output_proj(summed) + (query if identity is None else identity)


def number(value: int, like: Tensor) -> Tensor:
    """A number, which may be a symbol, as a tensor."""
    return torch.full((), value, dtype=like.dtype, device=like.device)
