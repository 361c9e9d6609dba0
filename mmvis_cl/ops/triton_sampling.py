"""Deformable attention between its projections by Triton kernels, on GPUs.

Triton comes with PyTorch's builds for CUDA, so that nobody has to compile anything to install it.
The kernels, sample_levels.py, are compiled in a second or two when they are first used, and kept by
Triton (``~/.triton/cache``). They find the corners of a sampling point, its weight, and add the
rows in one pass.

A launch asks nothing of the device, where the kernels read the levels' sizes themselves. So it can
be recorded in a CUDA graph, and ``torch.compile`` takes it as one operation.

``TRITON_INTERPRET=1``, set before Triton is imported, runs the same kernels on the CPU, slowly.
"""

import functools
from typing import Any

import torch
import triton
from torch import Tensor

from mmvis_cl.errors import shortened

from .sample_levels import sample_backward, sample_forward

# Values of a program's block. With 4 warps a thread sums up 16 of them and loads as many for the
# next corner: 64 registers on an H100, which leaves room for half of the warps it can have at once.
BLOCK = 2048


def _programs(
    value: Tensor, projected: Tensor, reference: Tensor
) -> tuple[tuple[int, int, int], dict[str, int]]:
    """How many programs there are, and the numbers that both kernels are given."""
    b, pixels, heads, channels = value.shape
    queries, points = projected.shape[1], projected.shape[4]
    block_points, block_channels = (triton.next_power_of_2(n) for n in (points, channels))
    block = block_points * block_channels
    block_queries = min(max(1, BLOCK // block), 16)
    numbers = dict(
        pixels=pixels,
        queries=queries,
        heads=heads,
        channels=channels,
        levels=reference.shape[2],
        points=points,
        coordinates=reference.shape[3],
        block_queries=block_queries,
        block_points=block_points,
        block_channels=block_channels,
        num_warps=4 if block <= BLOCK else 8,
    )
    return (triton.cdiv(queries, block_queries), heads, b), numbers


def _empty_sums(
    value: Tensor, shapes: Tensor, starts: Tensor, projected: Tensor, reference: Tensor
) -> Tensor:
    b, _, heads, channels = value.shape
    return value.new_empty((b, projected.shape[1], heads * channels), dtype=torch.float32)


@torch.library.custom_op('mmvis_cl::sample_levels', mutates_args=())
def _sample(
    value: Tensor, shapes: Tensor, starts: Tensor, projected: Tensor, reference: Tensor
) -> Tensor:
    sums = _empty_sums(value, shapes, starts, projected, reference)
    programs, numbers = _programs(value, projected, reference)
    if sums.numel():
        with torch.cuda.device_of(value):
            sample_forward[programs](value, shapes, starts, projected, reference, sums, **numbers)
    return sums


@torch.library.custom_op('mmvis_cl::sample_levels_backward', mutates_args=())
def _sample_backward(
    grad: Tensor,
    value: Tensor,
    shapes: Tensor,
    starts: Tensor,
    projected: Tensor,
    reference: Tensor,
    reference_is_wanted: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    # sums of many additions, in float32 whatever the values are
    value_grad = torch.zeros_like(value, dtype=torch.float32)
    projected_grad = torch.empty_like(projected)
    reference_grad = torch.zeros_like(reference, dtype=torch.float32)
    programs, numbers = _programs(value, projected, reference)
    if grad.numel():
        with torch.cuda.device_of(value):
            sample_backward[programs](
                *(value, shapes, starts, projected, reference, grad.contiguous()),
                *(value_grad, projected_grad, reference_grad),
                reference_is_wanted=reference_is_wanted,
                **numbers,
            )
    return value_grad.to(value.dtype), projected_grad, reference_grad.to(reference.dtype)


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    of_value, of_projected, of_reference = _sample_backward(
        grad, *ctx.saved_tensors, ctx.needs_input_grad[4]
    )
    return of_value, None, None, of_projected, of_reference if ctx.needs_input_grad[4] else None


# what torch.compile is told of them
_sample.register_fake(_empty_sums)
_sample_backward.register_fake(
    lambda grad, value, shapes, starts, projected, reference, reference_is_wanted: (
        torch.empty_like(value),
        torch.empty_like(projected),
        torch.empty_like(reference),
    )
)
_sample.register_autograd(_gradients, setup_context=_keep)


def sample_levels_by_triton(
    shapes: Tensor, starts: Tensor, value: Tensor, projected: Tensor, reference: Tensor
) -> Tensor:
    """Sums of bilinear samples from the maps of L levels, weighted by a softmax; 0 outside of them.

    Sums are taken in float32 whatever the types of the tensors are. The gradients of the values
    are summed in any order, so that they differ from run to run by rounding.

    Args:
        shapes (Tensor): (L, 2) long, h and w of the levels, on the values' device. If they have
            more than P pixels, the sums of these levels are NaN.
        starts (Tensor): (L,) long, the levels' first pixels, there as well.
        value (Tensor): (B, P, heads, C) float32, bfloat16 or float16, the pixels of all levels.
        projected (Tensor): (B, Q, 3, heads, L * K) in any of these types: of a sampling point, how
            far to the right of its query's reference it lies, how far below, and its weight before
            the softmax.
        reference (Tensor): (B, Q, L, 2) x, y or (B, Q, L, 4) cx, cy, w, h over the level's size.
            Distances from a point are in pixels of the level, from a box in its half sides
            divided by K.

    Returns:
        Tensor: (B, Q, heads * C) float32.

    Raises:
        ValueError: an image has more values than the kernel can count.
    """
    if value.shape[1:].numel() >= 2**31:
        raise ValueError(f'{value.shape[1]} pixels have more values than the kernel can count')
    inputs = (t.contiguous() for t in (value, shapes, starts, projected, reference))
    return _sample(*inputs)


@functools.cache
def why_not_on(device: torch.device) -> str:
    """Why the kernels cannot be used on a device, '' if they can.

    Triton compiles them for the device, for which it needs a C compiler and Python's header files
    as well, and loads them by the device's driver. So a small one is tried, whose sums are known.

    Args:
        device: A GPU, or the CPU where Triton interprets.
    """
    try:
        value = torch.arange(8.0, device=device).view(1, 2, 1, 4)
        # one level of two pixels, one point, halfway between them
        found = _sample(
            value,
            torch.tensor([[1, 2]], device=device),
            torch.tensor([0], device=device),
            torch.zeros(1, 1, 3, 1, 1, device=device),
            torch.full((1, 1, 1, 2), 0.5, device=device),
        )
        if found.flatten().tolist() != [2, 3, 4, 5]:
            return f'it computes wrong sums ({found.flatten().tolist()})'
    except Exception as error:  # of the compiler, the linker, the driver: whatever they raise
        return f'it fails on {device} ({type(error).__name__}: {shortened(error)})'
    return ''
