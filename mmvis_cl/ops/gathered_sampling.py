"""Weighted sums of bilinear samples as sums of gathered rows, in PyTorch on any device.

What deformable attention does where neither mmcv's CUDA op nor a C compiler is there. Nothing is
masked and no row is stored twice: 0.025 s for the encoder layer of a 480x854 frame on two cores of
an AMD EPYC, where mmcv's form, sampling and stacking level by level, takes 0.25 s.
"""

import functools
from typing import Any, NamedTuple

import scipy.sparse
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


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


class _WeightedRowSums(torch.autograd.Function):
    """embedding_bag on the CPU, with gradients of its own.

    PyTorch's of the rows sorts first: 0.6 s for the encoder layer of a 480x854 frame, 0.05 s here.
    PyTorch 2.4 fails where the weights have a gradient and the rows have none.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, index: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(rows, index, weights)
        return F.embedding_bag(index, rows, per_sample_weights=weights, mode='sum')

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, index, weights = ctx.saved_tensors
        n, m = index.shape
        grad = grad.contiguous()
        ends = torch.arange(0, n * m + 1, m, dtype=index.dtype)
        matrix = scipy.sparse.csr_array(
            (weights.numpy().ravel(), index.numpy().ravel(), ends.numpy()), shape=(n, len(rows))
        )
        bags = torch.arange(n, dtype=index.dtype).repeat_interleave(m)
        weights_grad = torch.ops.aten._embedding_bag_per_sample_weights_backward(
            grad, rows, index.flatten(), ends[:-1], bags, 0
        )
        return torch.from_numpy(matrix.T @ grad.numpy()), None, weights_grad.view(n, m)


def weighted_row_sums(rows: Tensor, index: Tensor, weights: Tensor) -> Tensor:
    """``(rows[index] * weights[..., None]).sum(1)`` without ``rows[index]``.

    Args:
        rows (Tensor): (R, C).
        index (Tensor): (n, m) int32.
        weights (Tensor): (n, m), in the rows' type.

    Returns:
        Tensor: (n, C).
    """
    if rows.device.type == 'cpu':
        return _WeightedRowSums.apply(rows, index, weights)  # type: ignore[no-untyped-call]  # torch
    return F.embedding_bag(index, rows, per_sample_weights=weights, mode='sum')


def _within(places: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Places between two bounds, whose gradient on a bound is that of places within.

    That of PyTorch's clamp is 1, 1/2 or 0 there, by its version.
    """
    # the NaN of a diverged network must not become an index
    outside = places.detach().nan_to_num(-1).clamp(low, high)
    return torch.where((places >= low) & (places <= high), places, outside)


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
    x, y = _within(x, border, sizes[0]), _within(y, border, sizes[1])
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
