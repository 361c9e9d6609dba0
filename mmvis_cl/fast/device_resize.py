"""Pillow's bilinear filter in integers, so that a GPU resizes frames to the very same pixels."""

import functools

import numpy as np
import torch
from torch import Tensor

# Pillow's weights are whole numbers of so many bits after the point, and so are its sums.
FRACTION_BITS = 22


def resize_frames(frames: Tensor, size: tuple[int, int], heights_first: bool = False) -> Tensor:
    """Resize as ``PIL.Image.resize(size, BILINEAR)`` does: antialiased, one side after the other.

    Args:
        frames: (T, H, W, C) uint8.
        size: h, w wanted.
        heights_first: Pillow takes widths first, but from version 13 on heights where that is less
            work. Between the two, pixels are rounded.

    Returns:
        (T, h, w, C) uint8, bit for bit Pillow's.
    """
    sides = (1, 2) if heights_first else (2, 1)
    for dim in sides:
        frames = _resize(frames, dim, size[dim - 1])
    return frames


def _resize(frames: Tensor, dim: int, new: int) -> Tensor:
    old = frames.shape[dim]
    if old == new:
        return frames
    first, weights = _tables_on(old, new, frames.device)
    shape = [1] * frames.dim()
    shape[dim] = new
    total: Tensor | None = None
    for tap, weight in enumerate(weights):
        pixels = frames.index_select(dim, (first + tap).clamp_(max=old - 1)).int()
        term = pixels.mul_(weight.view(shape))
        total = term.add_(1 << (FRACTION_BITS - 1)) if total is None else total.add_(term)
    assert total is not None
    return (total >> FRACTION_BITS).to(torch.uint8)


@functools.lru_cache(maxsize=16)
def _tables_on(old: int, new: int, device: torch.device) -> tuple[Tensor, Tensor]:
    first, weights = filter_tables(old, new)
    return torch.from_numpy(first).to(device), torch.from_numpy(weights).to(device)


def filter_tables(old: int, new: int) -> tuple[np.ndarray, np.ndarray]:
    """What each of ``new`` pixels is made of, where ``old`` ones lie in the same length.

    The triangle reaches a pixel to both sides, as measured in the coarser of the two grids.

    Returns:
        The first old pixel (new,) int64, and the weights (K, new) int32 of it and the K - 1 after
        it, in units of 2 ** -FRACTION_BITS; 0 beyond the reach.
    """
    scale = old / new
    reach = max(scale, 1.0)
    center = (np.arange(new) + 0.5) * scale
    first = np.maximum((center - reach + 0.5).astype(np.int64), 0)
    end = np.minimum((center + reach + 0.5).astype(np.int64), old)
    place = first + np.arange((end - first).max())[:, None]
    weights = np.maximum(1 - np.abs((place - center + 0.5) * (1 / reach)), 0) * (place < end)
    total = np.zeros(new)
    for weight in weights:  # one by one, as Pillow adds them: the last bit is seen
        total += weight
    return first, (0.5 + weights / total * (1 << FRACTION_BITS)).astype(np.int32)
