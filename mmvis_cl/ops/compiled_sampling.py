"""Deformable attention between its projections by a kernel in C, on CPUs.

The kernel, sample_levels.c, is compiled when it is first used, which takes a second, and kept
(kernel_cache.py). It finds the corners of a sampling point,
its weight, and adds the rows in one pass: 0.006 s for the encoder layer of a 480x854 frame on two
cores of an AMD EPYC, where the sums of gathered rows alone take 0.025 s.
"""

import ctypes
import functools
import logging
import math
import os
import platform
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.logging import print_log
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmvis_cl.errors import LONGEST_MESSAGE, shortened

from .kernel_cache import COMPILING_SECONDS, Kernel, UnusableError, load_kernel, run_limited

SOURCE = Path(__file__).with_name('sample_levels.c')
# NaN and infinity keep their meaning.
FLAGS = '-O3 -shared -fPIC -fno-math-errno -fno-trapping-math -fno-signed-zeros -fassociative-math'


class CPU(NamedTuple):
    """What the compiler may use: how many floats at once, and by which options."""

    lanes: int
    flags: str


PLAIN = CPU(4, '')
# By what torch finds.
CPUS = {
    'AVX2': CPU(8, '-mavx2 -mfma'),
    'AVX512': CPU(16, '-mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma'),
}


def load_sampling_kernel(channels: int, levels: int, points: int) -> tuple[ctypes.CDLL, list[str]]:
    """Load the kernel, which is compiled if that has not been done before.

    Args:
        channels: Of a head.
        levels: How many maps.
        points: Sampling points of a query in a head, those of all levels together.

    Returns:
        The library, and what is to be told about how it was come by.

    Raises:
        UnusableError: There is no compiler, it fails, or what it makes does.
        OSError: The library cannot be written anywhere.
    """
    given = os.environ.get('CC', '').split()
    compiler = given or list(filter(shutil.which, ('cc', 'gcc', 'clang')))[:1]
    if not compiler:
        raise UnusableError('no C compiler was found; install gcc or clang, or name one in CC')
    _, version = run_limited([*compiler, '--version'], 10)
    cpu = CPUS.get(torch.backends.cpu.get_cpu_capability(), PLAIN)
    lanes = math.gcd(channels, cpu.lanes)
    options = [*FLAGS.split(), *cpu.flags.split()]
    numbers = dict(CHANNELS=channels, LEVELS=levels, POINTS=points, LANES=lanes)
    options += [f'-D{name}={number}' for name, number in numbers.items()]
    command = [*compiler, *options, str(SOURCE), '-lm']
    # PyTorch's own OpenMP: a second one's threads would wait for theirs to stop waiting for work
    of_torch = sorted((Path(torch.__file__).parent / 'lib').glob('libgomp*.so*'))
    openmp = ['-fopenmp', '-Wl,--as-needed', *map(str, of_torch)]

    def compile_to(library: Path) -> str:
        code, said = run_limited([*command, *openmp, '-o', str(library)], COMPILING_SECONDS)
        if not code:
            return ''
        without = _error_in(said)  # Apple's compiler has no OpenMP
        code, said = run_limited([*command, '-o', str(library)], COMPILING_SECONDS)
        if code:
            raise UnusableError(f'{" ".join(compiler)} fails: {_error_in(said)}')
        return f'it has one thread, for want of OpenMP: {without}'

    identity = repr((SOURCE.read_bytes(), command, openmp, version, platform.machine())).encode()
    sizes = channels, levels, points
    name = f'sample_levels-{channels}-{levels}-{points}'
    return load_kernel(Kernel(name, identity, compile_to, sizes, of_torch))


def _error_in(said: str) -> str:
    """The first error among a compiler's words."""
    lines = [line.strip() for line in said.splitlines()]
    return next((line for line in lines if 'error' in line), 'it says nothing')


def _warn(line: str) -> None:
    # paths can have bytes that no text has
    line = shortened(line, LONGEST_MESSAGE).encode(errors='backslashreplace').decode()
    print_log(line, logger='current', level=logging.WARNING)


@functools.cache
def sampling_kernel(channels: int, levels: int, points: int) -> ctypes.CDLL | None:
    """The compiled kernel, or None where it cannot be had, which is said in one line.

    Args:
        channels: Of a head.
        levels: How many maps.
        points: Sampling points of a query in a head, those of all levels together.
    """
    try:
        kernel, told = load_sampling_kernel(channels, levels, points)
    except (OSError, UnusableError) as error:
        _warn(
            'deformable attention runs in PyTorch, which is slower, because there is no compiled '
            f'kernel for it: {error}'
        )
        return None
    if told:
        _warn(f'the kernel of deformable attention: {"; ".join(told)}')
    arrays, numbers = ctypes.c_void_p, ctypes.c_int64
    kernel.sample_forward.argtypes = [arrays] * 6 + [numbers] * 6
    kernel.sample_backward.argtypes = [arrays] * 9 + [numbers] * 6
    kernel.sample_forward.restype = kernel.sample_backward.restype = None
    return kernel


class Levels(NamedTuple):
    """What the kernel has to know about L maps.

    Attributes:
        size (Tensor): (2, L) float32, widths and heights.
        start (Tensor): (L,) int32, the map's first pixel among those of all maps.
        pixels (int): of all maps.
    """

    size: Tensor
    start: Tensor
    pixels: int


@functools.lru_cache(maxsize=16)
def make_levels(shapes: tuple[tuple[int, int], ...]) -> Levels:
    """Levels of these shapes (h, w)."""
    with torch.inference_mode(False):  # what is kept must serve training as well
        size = torch.tensor(shapes, dtype=torch.float32).T.flip(0).contiguous()
        ends = torch.tensor([h * w for h, w in shapes], dtype=torch.int32).cumsum(0)
        starts = (ends - ends.diff(prepend=ends.new_zeros(1))).int()
        return Levels(size, starts, int(ends[-1]))


class _Sampling(torch.autograd.Function):
    """The kernel with its gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        kernel: ctypes.CDLL,
        levels: Levels,
        value: Tensor,
        projected: Tensor,
        reference: Tensor,
    ) -> Tensor:
        ctx.kernel, ctx.levels = kernel, levels
        ctx.save_for_backward(value, projected, reference)
        b, pixels, heads, channels = value.shape
        sums = value.new_empty(b, projected.shape[1], heads * channels)
        arrays = value, *levels[:2], projected, reference, sums
        kernel.sample_forward(
            *(t.data_ptr() for t in arrays),
            *(b, pixels, projected.shape[1], heads, reference.shape[3]),
            torch.get_num_threads(),
        )
        return sums

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        value, projected, reference = ctx.saved_tensors
        grad = grad.contiguous()
        value_grad, projected_grad = torch.zeros_like(value), torch.empty_like(projected)
        b, pixels, heads, _ = value.shape
        of_heads = None
        if ctx.needs_input_grad[4]:
            of_heads = reference.new_empty(b, heads, *reference.shape[1:])
        arrays = value, *ctx.levels[:2], projected, reference, grad, value_grad, projected_grad
        ctx.kernel.sample_backward(
            *(t.data_ptr() for t in arrays),
            None if of_heads is None else of_heads.data_ptr(),
            *(b, pixels, projected.shape[1], heads, reference.shape[3]),
            torch.get_num_threads(),
        )
        reference_grad = None if of_heads is None else of_heads.sum(1)
        return None, None, value_grad, projected_grad, reference_grad


@torch.compiler.disable  # type: ignore[untyped-decorator]  # torch
def sample_levels_compiled(
    kernel: ctypes.CDLL,
    shapes: tuple[tuple[int, int], ...],
    value: Tensor,
    projected: Tensor,
    reference: Tensor,
) -> Tensor:
    """Sums of bilinear samples from the maps of L levels, weighted by a softmax; 0 outside of them.

    Args:
        kernel (ctypes.CDLL): of `sampling_kernel`, for ``C`` channels, L levels and ``L * K``
            points.
        shapes (tuple): h and w of the levels.
        value (Tensor): (B, P, heads, C) float32 on the CPU, the pixels of all levels.
        projected (Tensor): (B, Q, 3, heads, L * K): of a sampling point, how far to the right of
            its query's reference it lies, how far below, and its weight before the softmax.
        reference (Tensor): (B, Q, L, 2) x, y or (B, Q, L, 4) cx, cy, w, h over the level's size.
            Distances from a point are in pixels of the level, from a box in its half sides
            divided by K.

    Returns:
        Tensor: (B, Q, heads * C).

    Raises:
        ValueError: the levels do not have P pixels, or too many.
    """
    levels = make_levels(shapes)
    if levels.pixels != value.shape[1]:
        raise ValueError(f'levels of {shapes} have {levels.pixels} pixels, not {value.shape[1]}')
    if value[0].numel() >= 2**31:
        raise ValueError(f'levels of {shapes} have more values than the kernel can count')
    inputs = (t.contiguous() for t in (value, projected, reference))
    return _Sampling.apply(kernel, levels, *inputs)  # type: ignore[no-untyped-call]  # torch
