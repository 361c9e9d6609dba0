"""The sums of multi-scale deformable attention by the fastest way that takes the tensors."""

import functools
from collections.abc import Callable

import torch
from mmcv.ops import multi_scale_deform_attn as mmcv_attention
from torch import Tensor

from mmvis_cl.compat import has_compiled_ops

from .compiled_sampling import sample_levels_compiled, sampling_kernel
from .gathered_sampling import padded_levels, sample_levels


def deformable_sums(
    value: Tensor, spatial_shapes: Tensor, level_start: Tensor, points: int, im2col_step: int
) -> Callable[[Tensor, Tensor], Tensor]:
    """Choose how the sampled values of an attention are summed.

    CUDA tensors go through mmcv's op where it is there (bfloat16 as float32), float32 of the CPU
    through a kernel in C where a compiler is there, all others through sums of gathered rows.
    mmcv's own form without the op samples every level, stacks the samples and weights the stack.

    Args:
        value: (B, P, heads, C) values of the pixels of all L levels.
        spatial_shapes: (L, 2) long, h and w of the levels.
        level_start: (L,) long, the levels' first pixels.
        points: Sampling points of a query in a head and level, K.
        im2col_step: Images that mmcv's op takes at once.

    Returns:
        A function of what is projected from q queries, (B, q, 3, heads, L * K), and their
        references, (B, q, L, 2 or 4); see :func:`sampling_points`. It gives the sums
        (B, q, heads * C), in float32 or better: positions need that, whatever the values are.
    """
    dtype = torch.promote_types(value.dtype, torch.float32)
    sums = _sums(value, dtype, spatial_shapes, level_start, points, im2col_step)
    return lambda projected, reference: sums(projected.to(dtype), reference.to(dtype))


def _sums(
    value: Tensor,
    dtype: torch.dtype,
    spatial_shapes: Tensor,
    level_start: Tensor,
    points: int,
    im2col_step: int,
) -> Callable[[Tensor, Tensor], Tensor]:
    if value.is_cuda and has_compiled_ops():
        return functools.partial(_mmcv_op, value, spatial_shapes, level_start, im2col_step)
    shapes = tuple((h, w) for h, w in spatial_shapes.tolist())
    value = value.to(dtype)
    if value.device.type == 'cpu' and dtype == torch.float32:
        kernel = sampling_kernel(value.shape[3], len(shapes), len(shapes) * points)
        if kernel is not None:
            return functools.partial(sample_levels_compiled, kernel, shapes, value)
    levels = padded_levels(shapes, value.device)
    rows = value.new_zeros((len(value), levels.length, *value.shape[2:]))
    rows[:, levels.pixels] = value

    def gathered(projected: Tensor, reference: Tensor) -> Tensor:
        return sample_levels(rows, levels, *sampling_points(projected, reference, levels.sizes))

    return gathered


def _mmcv_op(
    value: Tensor,
    shapes: Tensor,
    level_start: Tensor,
    im2col_step: int,
    projected: Tensor,
    reference: Tensor,
) -> Tensor:
    value = value.float() if value.dtype == torch.bfloat16 else value
    sizes = shapes.T.flip(0).to(projected)
    x, y, weights = sampling_points(projected, reference, sizes)
    locations = (torch.stack((x, y), -1) + 0.5).unflatten(3, (len(shapes), -1))
    sums: Tensor = mmcv_attention.MultiScaleDeformableAttnFunction.apply(
        value,
        shapes,
        level_start,
        locations / sizes.T[:, None],
        weights.unflatten(3, (len(shapes), -1)),
        im2col_step,
    )
    return sums


def sampling_points(
    projected: Tensor, reference: Tensor, sizes: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Where the sampling points of each query lie in L levels, and their weights.

    Args:
        projected: (B, Q, 3, heads, L * K): of each point, its distance in x and y from the
            reference, and its weight before the softmax. Distances from a point are in pixels of
            the level, from a box in its half sides divided by K.
        reference: (B, Q, L, 2) x, y or (B, Q, L, 4) cx, cy, w, h over the padded size.
        sizes: (2, L) widths and heights, in the same type.

    Returns:
        x, y and weights, each (B, Q, heads, L * K); x and y in pixels of the level, 0 at the centre
        of the first one.
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


def clear_rows(value: Tensor, mask: Tensor) -> Tensor:
    """Put zeros where ``mask`` (B, P) is set into ``value`` (B, P, C), which nobody else has."""
    if value.is_cuda:  # to look for the rows would wait for the device
        return value.masked_fill_(mask[..., None], 0)
    # only few rows are padding: 0.1 ms where all of them take 0.9 ms
    return value.flatten(0, 1).index_fill_(0, mask.flatten().nonzero()[:, 0], 0).view_as(value)
