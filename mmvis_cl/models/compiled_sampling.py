"""Weighted sums of bilinear samples by a kernel in C, for deformable attention on CPUs.

The kernel, sample_levels.c, is compiled when it is first used, which takes a second, and kept in
``~/.cache/mmvis_cl/kernels`` (or ``MMVIS_CL_KERNELS``). It finds the corners of a sampling point
and adds their rows in one pass: 0.008 s for the encoder layer of a 480x854 frame on two cores of an
AMD EPYC, where sums of gathered rows take 0.025 s.
"""

import ctypes
import functools
import hashlib
import logging
import math
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.logging import print_log
from torch import Tensor
from torch.autograd.function import once_differentiable

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


def build_kernel(channels: int, points: int) -> Path:
    """Compile the kernel, if that has not been done before.

    Args:
        channels: Of a head.
        points: Sampling points of a query in a head, those of all levels together.

    Returns:
        The shared library.

    Raises:
        RuntimeError: there is no compiler, or it fails.
        OSError: the library cannot be written.
    """
    given = os.environ.get('CC')
    compiler = given or next(filter(shutil.which, ('cc', 'gcc', 'clang')), None)
    if compiler is None:
        raise RuntimeError('no C compiler was found; install gcc or clang, or name one in CC')
    cpu = CPUS.get(torch.backends.cpu.get_cpu_capability(), PLAIN)
    lanes = math.gcd(channels, cpu.lanes)
    options = [*FLAGS.split(), *cpu.flags.split()]
    options += [f'-DCHANNELS={channels}', f'-DPOINTS={points}', f'-DLANES={lanes}']
    command = [*compiler.split(), *options, str(SOURCE), '-lm']
    # PyTorch's own OpenMP: a second one's threads would wait for theirs to stop waiting for work
    openmp = (Path(torch.__file__).parent / 'lib').glob('libgomp*.so*')
    openmp = ['-fopenmp', '-Wl,--as-needed', *map(str, openmp)]

    folder = os.environ.get('MMVIS_CL_KERNELS') or '~/.cache/mmvis_cl/kernels'
    folder = Path(folder).expanduser()
    key = hashlib.sha256(SOURCE.read_bytes() + repr(command + openmp).encode()).hexdigest()[:16]
    library = folder / f'sample_levels-{channels}-{points}-{key}.so'
    if not library.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            new = Path(scratch) / library.name
            build = functools.partial(subprocess.run, capture_output=True, text=True)
            done = build([*command, *openmp, '-o', str(new)])
            if done.returncode:  # Apple's compiler has no OpenMP
                without = _said(done.stderr)
                done = build([*command, '-o', str(new)])
                if done.returncode:
                    raise RuntimeError(f'{compiler} fails: {_said(done.stderr)}')
                _warn(f'deformable attention has one thread, for want of OpenMP: {without}')
            new.replace(library)  # whole or not at all, whatever other processes do
    return library


def _said(stderr: str) -> str:
    """The first error among a compiler's words."""
    lines = [line.strip() for line in stderr.splitlines()]
    return next((line for line in lines if 'error' in line), 'it says nothing')


def _warn(line: str) -> None:
    print_log(line, logger='current', level=logging.WARNING)


@functools.cache
def sampling_kernel(channels: int, points: int) -> ctypes.CDLL | None:
    """The compiled kernel, or None where it cannot be had, which is said in one line.

    Args:
        channels: Of a head.
        points: Sampling points of a query in a head, those of all levels together.
    """
    try:
        kernel = ctypes.CDLL(str(build_kernel(channels, points)))
    except (OSError, RuntimeError) as error:
        _warn(
            'deformable attention runs in PyTorch, which is slower, because its kernel could not '
            f'be compiled: {error}'
        )
        return None
    arrays, numbers = ctypes.c_void_p, ctypes.c_int64
    kernel.sample_forward.argtypes = [arrays] * 8 + [numbers] * 5
    kernel.sample_backward.argtypes = [arrays] * 12 + [numbers] * 5
    kernel.sample_forward.restype = kernel.sample_backward.restype = None
    return kernel


class PointLevels(NamedTuple):
    """What the kernel has to know about the level that each of N sampling points lies in.

    Attributes:
        width (Tensor): (N,) float32.
        height (Tensor): (N,) float32.
        start (Tensor): (N,) int32, the level's first pixel among those of all levels.
        pixels (int): of all levels.
    """

    width: Tensor
    height: Tensor
    start: Tensor
    pixels: int


@functools.lru_cache(maxsize=16)
def point_levels(shapes: tuple[tuple[int, int], ...], points: int) -> PointLevels:
    """The levels of so many points each, in the order of the levels' shapes (h, w)."""
    with torch.inference_mode(False):  # what is kept must serve training as well
        height, width = torch.tensor(shapes).repeat_interleave(points, 0).T
        ends = torch.tensor([h * w for h, w in shapes]).cumsum(0)
        starts = (ends - ends.diff(prepend=ends.new_zeros(1))).repeat_interleave(points)
        return PointLevels(width.float(), height.float(), starts.int(), int(ends[-1]))


class _Sampling(torch.autograd.Function):
    """The kernel with its gradients."""

    @staticmethod
    def forward(ctx, kernel, levels, value, x, y, weights) -> Tensor:
        ctx.kernel, ctx.levels = kernel, levels
        ctx.save_for_backward(value, x, y, weights)
        b, queries, heads = x.shape[:3]
        sums = value.new_empty(b, queries, heads * value.shape[3])
        arrays = [t.data_ptr() for t in (value, *levels[:3], x, y, weights, sums)]
        kernel.sample_forward(*arrays, b, value.shape[1], queries, heads, torch.get_num_threads())
        return sums

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        value, x, y, weights = ctx.saved_tensors
        grad = grad.contiguous()
        grads = torch.zeros_like(value), *(torch.empty_like(t) for t in (x, y, weights))
        b, queries, heads = x.shape[:3]
        inputs = value, *ctx.levels[:3], x, y, weights, grad, *grads
        arrays = [t.data_ptr() for t in inputs]
        ctx.kernel.sample_backward(
            *arrays, b, value.shape[1], queries, heads, torch.get_num_threads()
        )
        return None, None, *grads


@torch.compiler.disable
def sample_levels_compiled(
    kernel: ctypes.CDLL,
    value: Tensor,
    shapes: tuple[tuple[int, int], ...],
    x: Tensor,
    y: Tensor,
    weights: Tensor,
) -> Tensor:
    """Weighted sums of bilinear samples from the maps of L levels; 0 outside of them.

    Args:
        kernel (ctypes.CDLL): of `sampling_kernel`, for ``C`` channels and ``L * K`` points.
        value (Tensor): (B, P, heads, C) float32 on the CPU, the pixels of all levels.
        shapes (tuple): h and w of the levels.
        x (Tensor): (B, Q, heads, L * K) in pixels of the level; 0 is the centre of the first one.
        y (Tensor): the same.
        weights (Tensor): (B, Q, heads, L * K).

    Returns:
        Tensor: (B, Q, heads * C).

    Raises:
        ValueError: the levels do not have P pixels.
    """
    levels = point_levels(shapes, x.shape[3] // len(shapes))
    if levels.pixels != value.shape[1]:
        raise ValueError(f'levels of {shapes} have {levels.pixels} pixels, not {value.shape[1]}')
    inputs = (t.contiguous() for t in (value, x, y, weights))
    return _Sampling.apply(kernel, levels, *inputs)
