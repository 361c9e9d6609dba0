"""Multi-scale deformable attention by the fastest way that there is."""

import functools
from collections.abc import Callable

import torch
from mmcv.ops import multi_scale_deform_attn as mmcv_attention
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttention
from torch import Tensor, nn
from torch.nn import functional as F

from mmvis_cl.compat import has_compiled_ops
from mmvis_cl.fast.kept_weights import KeepsFromWeights, may_keep
from mmvis_cl.fast.packed_linear import PackedLinear
from mmvis_cl.fast.query_steps import add_in_query_steps
from mmvis_cl.ops.compiled_sampling import sample_levels_compiled, sampling_kernel
from mmvis_cl.ops.gathered_sampling import padded_levels, sample_levels
from mmvis_cl.registry import MODELS

# As fast as all at once, with a quarter of the memory.
QUERIES_PER_STEP = 2048


@MODELS.register_module()
class GatherDeformableAttention(KeepsFromWeights, MultiScaleDeformableAttention):
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
        value = self.value_proj(value)
        if key_padding_mask is not None:
            value = _clear(value, key_padding_mask)
        value = value.unflatten(2, (self.num_heads, -1))
        # positions and sums need float32, whatever the values are
        dtype = torch.promote_types(value.dtype, torch.float32)
        project = self._projection()
        sums = self._sums(value, spatial_shapes, level_start_index, dtype)

        def attend(query: Tensor, query_pos: Tensor | None, reference: Tensor) -> Tensor:
            projected = project(query if query_pos is None else query + query_pos)
            projected = projected.unflatten(2, (3, self.num_heads, -1)).to(dtype)
            summed = sums(projected, reference.to(dtype))
            return self.dropout(self.output_proj(summed))

        return add_in_query_steps(
            identity, attend, QUERIES_PER_STEP, query, query_pos, reference_points
        )

    def _projection(self) -> Callable[[Tensor], Tensor]:
        """One layer for x, y and weight of each sampling point: (3, heads, L * K) of them."""
        parameters = *self.sampling_offsets.parameters(), *self.attention_weights.parameters()

        def join() -> tuple[Tensor, Tensor]:
            return tuple(
                torch.cat((offset.unflatten(0, (-1, 2)).transpose(0, 1).flatten(0, 1), attention))
                for offset, attention in zip(parameters[:2], parameters[2:], strict=True)
            )

        def packed() -> PackedLinear:
            weight, bias = join()
            layer = PackedLinear(*weight.T.shape, device='meta')
            layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
            return layer

        # joined for each pass but where the other layers keep their weights packed
        if may_keep() and isinstance(self.value_proj, PackedLinear):
            return self.kept_from(parameters, packed)
        self.drop_kept()
        weight, bias = join()
        return functools.partial(F.linear, weight=weight, bias=bias)

    def _sums(
        self, value: Tensor, spatial_shapes: Tensor, level_start: Tensor, dtype: torch.dtype
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """What gives the sums (B, q, C) of the projected queries and their references."""
        points = self.num_levels * self.num_points
        if value.is_cuda and has_compiled_ops():
            return functools.partial(self._mmcv_op, value, spatial_shapes, level_start)
        shapes = tuple(map(tuple, spatial_shapes.tolist()))
        value = value.to(dtype)
        if value.device.type == 'cpu' and dtype == torch.float32:
            kernel = sampling_kernel(value.shape[3], self.num_levels, points)
            if kernel is not None:
                return functools.partial(sample_levels_compiled, kernel, shapes, value)
        levels = padded_levels(shapes, value.device)
        rows = value.new_zeros((len(value), levels.length, *value.shape[2:]))
        rows[:, levels.pixels] = value

        def gathered(projected: Tensor, reference: Tensor) -> Tensor:
            return sample_levels(rows, levels, *sampling_points(projected, reference, levels.sizes))

        return gathered

    def _mmcv_op(
        self,
        value: Tensor,
        shapes: Tensor,
        level_start: Tensor,
        projected: Tensor,
        reference: Tensor,
    ) -> Tensor:
        value = value.float() if value.dtype == torch.bfloat16 else value
        sizes = shapes.T.flip(0).to(projected)
        x, y, weights = sampling_points(projected, reference, sizes)
        locations = (torch.stack((x, y), -1) + 0.5).unflatten(3, (len(shapes), -1))
        return mmcv_attention.MultiScaleDeformableAttnFunction.apply(
            value,
            shapes,
            level_start,
            locations / sizes.T[:, None],
            weights.unflatten(3, (len(shapes), -1)),
            self.im2col_step,
        )


def _clear(value: Tensor, mask: Tensor) -> Tensor:
    """Put zeros where ``mask`` (B, P) is set into ``value`` (B, P, C), which nobody else has."""
    if value.is_cuda:  # to look for the rows would wait for the device
        return value.masked_fill_(mask[..., None], 0)
    # only few rows are padding: 0.1 ms where all of them take 0.9 ms
    return value.flatten(0, 1).index_fill_(0, mask.flatten().nonzero()[:, 0], 0).view_as(value)


def sampling_points(
    projected: Tensor, reference: Tensor, sizes: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Where the sampling points of each query lie in L levels, and their weights.

    Args:
        projected (Tensor): (B, Q, 3, heads, L * K): of each point, its distance in x and y from the
            reference, and its weight before the softmax.
        reference (Tensor): (B, Q, L, 2) x, y or (B, Q, L, 4) cx, cy, w, h over the padded size.
        sizes (Tensor): (2, L) widths and heights, in the same type.

    Returns:
        tuple[Tensor, Tensor, Tensor]: x, y and weights, each (B, Q, heads, L * K); x and y in
        pixels of the level, 0 at the centre of the first one.
    """
    x, y, logits = projected.unbind(2)
    points = x.shape[-1] // sizes.shape[1]
    at = reference[..., :2] * sizes.T - 0.5
    if reference.shape[-1] == 4:
        extent = reference[..., 2:] * sizes.T / (2 * points)
        extent = extent.repeat_interleave(points, 2)[:, :, None]
        x, y = x * extent[..., 0], y * extent[..., 1]
    at = at.repeat_interleave(points, 2)[:, :, None]
    return x + at[..., 0], y + at[..., 1], logits.softmax(-1)
