"""Multi-scale deformable attention as weighted sums of gathered rows."""

import functools
from typing import NamedTuple

import numpy as np
import scipy.sparse
import torch
from mmcv.ops import multi_scale_deform_attn as mmcv_attention
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttention
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from mmvis_cl.compat import has_compiled_ops
from mmvis_cl.registry import MODELS

# Queries a step where no gradient is needed. As fast as all at once, with a quarter of the memory.
QUERIES_PER_STEP = 2048


class PaddedLevels(NamedTuple):
    """Where the pixels of L levels lie in a list with zeros around each level.

    A corner of a sampling point reads a pixel or a zero, so that nothing has to be masked. Between
    the lines of a level are two zeros, which serve both as right and as left border; a line of
    zeros lies above it and two below. There are two so that a point that lies exactly on the far
    border has no gradient from the pixel beyond.

    Attributes:
        pixels (Tensor): (P,) long, the place of each pixel.
        length (int): places in all.
        sizes (Tensor): (2, L) float32, widths and heights.
        starts (Tensor): (L,) int32, the place of each level's first pixel.
        pitches (Tensor): (L,) int32, places from one line to the next.
    """

    pixels: Tensor
    length: int
    sizes: Tensor
    starts: Tensor
    pitches: Tensor


@functools.lru_cache(maxsize=16)
def padded_levels(shapes: tuple[tuple[int, int], ...], device: torch.device) -> PaddedLevels:
    """The places of levels with these shapes (h, w), finest first or not."""
    pixels, starts, length = [], [], 0
    with torch.inference_mode(False):  # what is kept must serve training as well
        for h, w in shapes:
            pitch = w + 2
            starts.append(length + pitch + 1)
            pixels.append(
                (starts[-1] + torch.arange(h)[:, None] * pitch + torch.arange(w)).flatten()
            )
            length += (h + 3) * pitch + 1
        return PaddedLevels(
            torch.cat(pixels).to(device),
            length,
            torch.tensor(shapes, dtype=torch.float32, device=device).T.flip(0),
            torch.tensor(starts, dtype=torch.int32, device=device),
            torch.tensor([w + 2 for _, w in shapes], dtype=torch.int32, device=device),
        )


class _RowsGradient(torch.autograd.Function):
    """Hands on weighted sums of rows, and gives the rows their gradient, on the CPU."""

    @staticmethod
    def forward(ctx, sums: Tensor, rows: Tensor, index: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(index, weights)
        ctx.num_rows = len(rows)
        return sums.view_as(sums)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        # 0.05 s for the encoder layer of a 480x854 frame; that of embedding_bag sorts first: 0.6 s
        index, weights = ctx.saved_tensors
        n, m = index.shape
        matrix = scipy.sparse.csr_array(
            (weights.numpy().ravel(), index.numpy().ravel(), np.arange(0, n * m + 1, m)),
            shape=(n, ctx.num_rows),
        )
        return grad, torch.from_numpy(matrix.T @ grad.contiguous().numpy()), None, None


def weighted_row_sums(rows: Tensor, index: Tensor, weights: Tensor) -> Tensor:
    """``(rows[index] * weights[..., None]).sum(1)`` without ``rows[index]``.

    Args:
        rows (Tensor): (R, C).
        index (Tensor): (n, m) int32.
        weights (Tensor): (n, m), in the rows' type.

    Returns:
        Tensor: (n, C).
    """
    if rows.device.type != 'cpu' or not (rows.requires_grad and torch.is_grad_enabled()):
        return F.embedding_bag(index, rows, per_sample_weights=weights, mode='sum')
    sums = F.embedding_bag(index, rows.detach(), per_sample_weights=weights, mode='sum')
    return _RowsGradient.apply(sums, rows, index, weights.detach())


def sample_levels(
    rows: Tensor, levels: PaddedLevels, x: Tensor, y: Tensor, weights: Tensor
) -> Tensor:
    """Weighted sums of bilinear samples from the maps of several levels; 0 outside of them.

    Args:
        rows (Tensor): (B, levels.length, heads, C), the pixels' values and zeros around them.
        levels (PaddedLevels): where the pixels of the L levels lie in ``rows``.
        x (Tensor): (B, Q, heads, L * K) in pixels of the level; 0 is the centre of the first one.
        y (Tensor): the same.
        weights (Tensor): (B, Q, heads, L * K), in the rows' type.

    Returns:
        Tensor: (B, Q, heads * C).
    """
    b, q, heads, points = x.shape
    # one entry a sampling point, so that broadcasting has long inner loops
    sizes, starts, pitches = (
        t.repeat_interleave(points // len(levels.starts), -1)
        for t in (levels.sizes.to(x), levels.starts, levels.pitches)
    )
    border = torch.full_like(sizes[0], -1)
    # nan_to_num: the NaN of a diverged network must not become an index
    x = x.nan_to_num(-1).clamp(border, sizes[0])
    y = y.nan_to_num(-1).clamp(border, sizes[1])
    left, top = x.detach().floor(), y.detach().floor()

    place = torch.addcmul(left, top, pitches.to(top)).int() + starts
    image = torch.arange(b, dtype=torch.int32, device=x.device)[:, None, None, None]
    head = torch.arange(heads, dtype=torch.int32, device=x.device)[:, None]
    place = (place + image * levels.length) * heads + head
    corners = torch.stack((pitches * 0, pitches * 0 + 1, pitches, pitches + 1)) * heads
    index = place[..., None, :] + corners

    right = x - left
    lower = weights * (y - top)
    upper = weights - lower
    upper_right, lower_right = upper * right, lower * right
    weights = torch.stack(
        (upper - upper_right, upper_right, lower - lower_right, lower_right), dim=3
    )
    n = b * q * heads
    sums = weighted_row_sums(rows.flatten(0, 2), index.view(n, -1), weights.view(n, -1))
    return sums.view(b, q, -1)


@MODELS.register_module()
class GatherDeformableAttention(MultiScaleDeformableAttention):
    """mmcv's module with another way to the same sum, for use without mmcv's CUDA op.

    mmcv's own form without the op samples every level, stacks the samples and weights the stack:
    0.75 s for the encoder layer of a 480x854 frame on one core, 0.13 s here (projections included).
    Where the op is there, CUDA tensors go through it, as float32 if they are bfloat16. The batch
    comes first.
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
        spatial_shapes: Tensor | None = None,
        level_start_index: Tensor | None = None,
        **kwargs,
    ) -> Tensor:
        """Attend to sampling points around each query's reference.

        Args:
            query (Tensor): (B, Q, C).
            key (Tensor, optional): not used.
            value (Tensor, optional): (B, P, C), the pixels of all levels; the query if None.
            identity (Tensor, optional): (B, Q, C), added to the result; the query if None.
            query_pos (Tensor, optional): (B, Q, C), added to the query.
            key_padding_mask (Tensor, optional): (B, P) bool, True in the padding.
            reference_points (Tensor): (B, Q, L, 2) x, y or (B, Q, L, 4) cx, cy, w, h over the
                padded size.
            spatial_shapes (Tensor): (L, 2) long, h and w of the levels.
            level_start_index (Tensor): (L,) long, the levels' first pixels.
            **kwargs: not used.

        Returns:
            Tensor: (B, Q, C).
        """
        value = query if value is None else value
        identity = query if identity is None else identity
        query = query if query_pos is None else query + query_pos
        value = self.value_proj(value)
        if key_padding_mask is not None:
            value = value.masked_fill(key_padding_mask[..., None], 0)
        value = value.unflatten(2, (self.num_heads, -1))

        # one product for x, y and weight of each sampling point, (3, heads, L * K) of them
        weight, bias = (
            torch.cat((offset.unflatten(0, (-1, 2)).transpose(0, 1).flatten(0, 1), attention))
            for offset, attention in zip(
                self.sampling_offsets.parameters(), self.attention_weights.parameters(), strict=True
            )
        )
        # positions and sums need float32, whatever the values are
        dtype = torch.promote_types(value.dtype, torch.float32)
        sizes = spatial_shapes.T.flip(0).to(dtype)
        if value.is_cuda and has_compiled_ops():
            sums = functools.partial(self._mmcv_op, value, spatial_shapes, level_start_index, sizes)
            step = query.shape[1]
        else:
            shapes = tuple(map(tuple, spatial_shapes.tolist()))
            levels = padded_levels(shapes, value.device)
            rows = value.new_zeros((len(value), levels.length, *value.shape[2:]), dtype=dtype)
            rows[:, levels.pixels] = value.to(dtype)
            sums = functools.partial(sample_levels, rows, levels)
            step = query.shape[1] if torch.is_grad_enabled() else QUERIES_PER_STEP

        parts = []
        for q, r in zip(query.split(step, 1), reference_points.split(step, 1), strict=True):
            projected = F.linear(q, weight, bias).to(dtype)
            x, y, attention = projected.unflatten(2, (3, self.num_heads, -1)).unbind(2)
            at = r[..., :2] * sizes.T - 0.5
            if r.shape[-1] == 4:
                extent = r[..., 2:] * sizes.T / (2 * self.num_points)
                extent = extent.repeat_interleave(self.num_points, 2)[:, :, None]
                x, y = x * extent[..., 0], y * extent[..., 1]
            at = at.repeat_interleave(self.num_points, 2)[:, :, None]
            summed = sums(x + at[..., 0], y + at[..., 1], attention.softmax(-1))
            parts.append(self.output_proj(summed))
        return self.dropout(torch.cat(parts, 1)) + identity

    def _mmcv_op(self, value, shapes, level_start, sizes, x, y, weights):
        value = value.float() if value.dtype == torch.bfloat16 else value
        locations = (torch.stack((x, y), -1) + 0.5).unflatten(3, (len(shapes), -1))
        locations = locations / sizes.T[:, None]
        return mmcv_attention.MultiScaleDeformableAttnFunction.apply(
            value,
            shapes,
            level_start,
            locations,
            weights.unflatten(3, (len(shapes), -1)),
            self.im2col_step,
        )
