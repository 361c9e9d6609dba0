"""The sums of multi-scale deformable attention by the fastest way that takes the tensors."""

import functools
import importlib
import logging
import os
from collections.abc import Callable
from typing import NamedTuple

import torch
from mmcv.ops import multi_scale_deform_attn as mmcv_attention
from mmengine.logging import print_log
from torch import Tensor

from mmvis_cl.compat import has_compiled_ops, how_to_compile
from mmvis_cl.errors import InputError, quoted, shortened

from .compiled_sampling import sample_levels_compiled, sampling_kernel
from .gathered_sampling import padded_levels, sample_levels

# Of what is projected from some queries and of their references, see `deformable_sums`.
Sums = Callable[[Tensor, Tensor], Tensor]
# Channels of a head, levels, and sampling points of a query in a head on all levels together.
Sizes = tuple[int, int, int]
_UP_TO_FLOAT32 = torch.float32, torch.bfloat16, torch.float16


class Values(NamedTuple):
    """The values that are sampled, and what is known about their levels; see `deformable_sums`."""

    value: Tensor
    shapes: Tensor
    starts: Tensor
    sizes: Sizes
    im2col_step: int


class Way(NamedTuple):
    """A way to sum sampled values.

    Attributes:
        what: The values that it takes, in words.
        takes: Whether it takes values of this type on this device.
        trouble: Why it is not there for these sizes, on any device if none is given, '' if it is.
        waits: Whether it waits for a GPU, so that it cannot be recorded as a CUDA graph.
        make: Gives what sums, in float32 or better.
    """

    what: str
    takes: Callable[[torch.device, torch.dtype], bool]
    trouble: Callable[[Sizes, torch.device | None], str]
    waits: bool
    make: Callable[[Values], Sums]


def deformable_sums(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start: Tensor,
    points: int,
    im2col_step: int,
    way: str = 'auto',
) -> Sums:
    """Choose how the sampled values of an attention are summed.

    CUDA tensors go through Triton's kernels, where Triton works, or else through mmcv's op, where
    it is compiled (bfloat16 as float32); tensors of the CPU through a kernel in C, where a compiler
    is there; all others through sums of gathered rows. mmcv's own form without compiled ops
    samples every level, stacks the samples and weights the stack.

    Args:
        value: (B, P, heads, C) values of the pixels of all L levels.
        spatial_shapes: (L, 2) long, h and w of the levels.
        level_start: (L,) long, the levels' first pixels.
        points: Sampling points of a query in a head and level, K.
        im2col_step: Images that mmcv's op takes at once.
        way: One of :data:`WAYS`, or 'auto', see :func:`chosen_way`.

    Returns:
        A function of what is projected from q queries, (B, q, 3, heads, L * K), and their
        references, (B, q, L, 2 or 4); see :func:`sampling_points`. It gives the sums
        (B, q, heads * C), in float32 or better: positions need that, whatever the values are.

    Raises:
        InputError: The way does not take these values, or is not there.
    """
    sizes = value.shape[3], len(spatial_shapes), len(spatial_shapes) * points
    name = _asked_once(way, value.device, value.dtype, sizes)
    return WAYS[name].make(Values(value, spatial_shapes, level_start, sizes, im2col_step))


def chosen_way(way: str, device: torch.device, dtype: torch.dtype, sizes: Sizes) -> str:
    """The way by which values are summed: for 'auto' the fastest one that is there.

    Args:
        way: One of :data:`WAYS`, or 'auto'.
        device: Of the values.
        dtype: Their type.
        sizes: Channels of a head, levels, points of all levels.

    Returns:
        One of :data:`WAYS`.

    Raises:
        InputError: The way that is named does not take these values, or is not there.
    """
    check_way(way, sizes)
    if way != 'auto':
        if not WAYS[way].takes(device, dtype):
            raise InputError(
                f"attention='{way}': it takes {WAYS[way].what}, not {dtype} on {device}; set "
                "attention='auto'"
            )
        check_way(way, sizes, device)
        return way
    troubles = {}
    for name, known in WAYS.items():
        if known.takes(device, dtype):
            troubles[name] = known.trouble(sizes, device)
            if not troubles[name]:
                break
    if troubles.get('triton'):
        _say_without_triton(name, troubles['triton'])
    return name


# torch.compile asks once, when it compiles. It keeps the answer as a global variable of what it
# compiles, named as the function that it asked: that may not be one by whose name others ask.
_asked_once = torch.compiler.assume_constant_result(lambda *asked: chosen_way(*asked))


def check_way(way: str, sizes: Sizes, device: torch.device | None = None) -> None:
    """Refuse a way that is none or is not there.

    Args:
        way: What the config says.
        sizes: Channels of a head, levels, points of all levels.
        device: Where it shall work, if that is known.

    Raises:
        InputError: It is none, or not there.
    """
    if way != 'auto' and way not in WAYS:
        raise InputError(
            f'attention={quoted(way)}: there is no such way; take auto, {", ".join(WAYS)}'
        )
    trouble = '' if way == 'auto' else WAYS[way].trouble(sizes, device)
    if trouble:
        raise InputError(f"attention='{way}': {trouble}; or set attention='auto'")


def can_be_recorded(way: str, device: torch.device) -> bool:
    """Whether sums of this way on a GPU can be part of a CUDA graph: they do not wait for it."""
    return not WAYS[chosen_way(way, device, torch.float32, (4, 1, 4))].waits


@functools.cache
def _say_without_triton(name: str, trouble: str) -> None:
    line = f"deformable attention on a GPU runs as attention='{name}', without Triton: {trouble}"
    print_log(line, logger='current', level=logging.WARNING)


def _triton_takes(device: torch.device, dtype: torch.dtype) -> bool:
    interpreted = os.environ.get('TRITON_INTERPRET') == '1'
    return dtype in _UP_TO_FLOAT32 and (device.type == 'cuda' or interpreted)


@functools.cache
def _triton_import_trouble() -> str:
    try:
        importlib.import_module('.triton_sampling', __package__)
    except Exception as error:  # of a broken installation: whatever it raises
        return (
            f'Triton cannot be imported ({type(error).__name__}: {shortened(error)}); install a '
            'PyTorch that is built for CUDA, which brings it'
        )
    return ''


def _triton_trouble(sizes: Sizes, device: torch.device | None) -> str:
    trouble = _triton_import_trouble()
    if trouble or device is None:
        return trouble
    from .triton_sampling import why_not_on

    return why_not_on(device)


def _by_triton(values: Values) -> Sums:
    from .triton_sampling import sample_levels_by_triton

    return functools.partial(sample_levels_by_triton, values.shapes, values.starts, values.value)


def _no_compiled_ops(sizes: Sizes, device: torch.device | None) -> str:
    return (
        ''
        if has_compiled_ops()
        else f"mmcv's ops are not compiled; {how_to_compile()} compiles them"
    )


def _by_mmcv(values: Values) -> Sums:
    """mmcv's op; it has no bfloat16."""
    value, dtype = values.value, _sums_dtype(values)
    value = value.float() if value.dtype == torch.bfloat16 else value

    def sums(projected: Tensor, reference: Tensor) -> Tensor:
        projected, reference = projected.to(dtype), reference.to(dtype)
        sizes = values.shapes.T.flip(0).to(projected)
        x, y, weights = sampling_points(projected, reference, sizes)
        locations = (torch.stack((x, y), -1) + 0.5).unflatten(3, (len(values.shapes), -1))
        summed: Tensor = mmcv_attention.MultiScaleDeformableAttnFunction.apply(
            value,
            values.shapes,
            values.starts,
            locations / sizes.T[:, None],
            weights.unflatten(3, (len(values.shapes), -1)),
            values.im2col_step,
        )
        return summed

    return sums


def _no_kernel(sizes: Sizes, device: torch.device | None) -> str:
    return '' if sampling_kernel(*sizes) else 'there is no compiled kernel; install gcc or clang'


def _by_kernel(values: Values) -> Sums:
    kernel, shapes = sampling_kernel(*values.sizes), _shapes_here(values)
    assert kernel is not None  # as _no_kernel has said
    value = values.value.float()

    def sums(projected: Tensor, reference: Tensor) -> Tensor:
        projected, reference = projected.float(), reference.float()
        return sample_levels_compiled(kernel, shapes, value, projected, reference)

    return sums


def _by_gathering(values: Values) -> Sums:
    dtype = _sums_dtype(values)
    levels = padded_levels(_shapes_here(values), values.value.device)
    shape = len(values.value), levels.length, *values.value.shape[2:]
    rows = values.value.new_zeros(shape, dtype=dtype)
    rows[:, levels.pixels] = values.value.to(dtype)

    def sums(projected: Tensor, reference: Tensor) -> Tensor:
        projected, reference = projected.to(dtype), reference.to(dtype)
        return sample_levels(rows, levels, *sampling_points(projected, reference, levels.sizes))

    return sums


def _shapes_here(values: Values) -> tuple[tuple[int, int], ...]:
    return tuple((h, w) for h, w in values.shapes.tolist())


def _sums_dtype(values: Values) -> torch.dtype:
    return torch.promote_types(values.value.dtype, torch.float32)


# The fastest one first: of two that take the same values it is the faster one.
WAYS = {
    'compiled': Way(
        what='float32, bfloat16 and float16 on a CPU',
        takes=lambda device, dtype: device.type == 'cpu' and dtype in _UP_TO_FLOAT32,
        trouble=_no_kernel,
        waits=True,
        make=_by_kernel,
    ),
    'triton': Way(
        what='float32, bfloat16 and float16 on a GPU',
        takes=_triton_takes,
        trouble=_triton_trouble,
        waits=False,
        make=_by_triton,
    ),
    'mmcv': Way(
        what='values on a GPU',
        takes=lambda device, dtype: device.type == 'cuda',
        trouble=_no_compiled_ops,
        waits=False,
        make=_by_mmcv,
    ),
    'gathered': Way(
        what='all values',
        takes=lambda device, dtype: True,
        trouble=lambda sizes, device: '',
        waits=True,
        make=_by_gathering,
    ),
}


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
