"""Multi-scale deformable attention by the fastest way that there is."""

import functools
from collections.abc import Callable

import torch
from mmcv.ops import multi_scale_deform_attn as mmcv_attention
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttention
from torch import Tensor
from torch.nn import functional as F

from mmvis_cl.compat import has_compiled_ops
from mmvis_cl.registry import MODELS

from .compiled_sampling import sample_levels_compiled, sampling_kernel
from .gathered_sampling import padded_levels, sample_levels

# Queries a step where no gradient is needed. As fast as all at once, with a quarter of the memory.
QUERIES_PER_STEP = 2048


@MODELS.register_module()
class GatherDeformableAttention(MultiScaleDeformableAttention):
    """mmcv's module with faster ways to the same sum where mmcv's CUDA op is not there.

    mmcv's own form without the op samples every level, stacks the samples and weights the stack.
    CPU tensors go through a kernel in C where a compiler is there, others through sums of gathered
    rows. Where mmcv's op is there, CUDA tensors go through it, as float32 if they are bfloat16. The
    batch comes first.
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
            value = value.masked_fill_(key_padding_mask[..., None], 0)  # nobody else has it
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
            sums = self._sampling(value.to(dtype), shapes)
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

    def _sampling(self, value: Tensor, shapes: tuple) -> Callable[..., Tensor]:
        """What gives the sums (B, q, C) of x, y and weights, by the kernel where it can be had."""
        points = self.num_levels * self.num_points
        if value.device.type == 'cpu' and value.dtype == torch.float32:
            kernel = sampling_kernel(value.shape[3], points)
            if kernel is not None:
                return functools.partial(sample_levels_compiled, kernel, value, shapes)
        levels = padded_levels(shapes, value.device)
        rows = value.new_zeros((len(value), levels.length, *value.shape[2:]))
        rows[:, levels.pixels] = value
        return functools.partial(sample_levels, rows, levels)

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
