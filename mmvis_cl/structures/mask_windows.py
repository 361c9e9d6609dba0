"""The part of each mask that can be positive, at the size of the image."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

STRIDE = 4  # a power of two: places and weights of the interpolation are then exact, wherever it is
# PyTorch's CPU kernel for outputs whose height and width together have at most so many pixels is
# another one than for larger ones; the last bits of its results differ.
_OTHER_KERNEL = 128


def positive_windows(
    logits: Tensor, img_shape: tuple[int, int], out_shape: tuple[int, int], flip: bool
) -> list[tuple[int, int, np.ndarray]]:
    """What is positive of masks, each in a window outside of which it is not.

    A pixel lies between four logits at most, and is positive only if one of them is: around the
    positive ones, one more on each side is enough. What is computed there is what is computed for
    the whole mask, bit for bit.

    Args:
        logits: (n, H / 4, W / 4) over the padded input, on the CPU.
        img_shape: h, w of the network's input without padding.
        out_shape: h, w wanted.
        flip: Turn the masks left to right.

    Returns:
        Of each mask row and column of the window's first pixel at the size that is wanted, and its
        pixels (h, w) bool; none if nothing is positive.
    """
    sides = logits.shape[1:]
    positive = (logits > 0).numpy()
    seen_rows, seen_columns = (np.logical_or.reduce(positive, axis) for axis in (2, 1))
    sources = [_nearest(img_shape[axis], out_shape[axis]) for axis in (0, 1)]
    windows: list[tuple[int, int, np.ndarray]] = []
    for mask, *seen in zip(logits, seen_rows, seen_columns, strict=True):
        if not seen[0].any():
            windows.append((0, 0, np.zeros((0, 0), bool)))
            continue
        low, high = _enlarged(seen)
        (top, left), (bottom, right) = low, high
        pixels = F.interpolate(
            mask[None, None, top:bottom, left:right].float(),
            size=((bottom - top) * STRIDE, (right - left) * STRIDE),
            mode='bilinear',
            align_corners=False,
        )
        window, place = pixels[0, 0].numpy() > 0, []
        for axis in (0, 1):
            # the outermost pixels at an inner side would need one logit more
            start = (low[axis] * STRIDE + STRIDE // 2) if low[axis] else 0
            stop = high[axis] * STRIDE - (STRIDE // 2 if high[axis] < sides[axis] else 0)
            stop = max(start, min(stop, img_shape[axis]))
            cut = slice(start - low[axis] * STRIDE, stop - low[axis] * STRIDE)
            window = window[cut] if axis == 0 else window[:, cut]
            if flip and axis == 1:
                window = window[:, ::-1].copy()
                start, stop = img_shape[1] - stop, img_shape[1] - start
            first, end = np.searchsorted(sources[axis], (start, stop))
            place.append(int(first))
            if img_shape[axis] != out_shape[axis]:
                window = window.take(sources[axis][first:end] - start, axis)
        windows.append((place[0], place[1], window))
    return windows


def _enlarged(seen: list[np.ndarray]) -> tuple[list[int], list[int]]:
    """First rows and columns, and those after the last, of the logits that are needed.

    Args:
        seen: Of each row and of each column whether it has a positive logit; some have.
    """
    low = [max(int(each.argmax()) - 1, 0) for each in seen]
    high = [min(len(each) - int(each[::-1].argmax()) + 1, len(each)) for each in seen]
    for axis in (1, 0):
        for side in (high, low):
            lacking = _OTHER_KERNEL // STRIDE + 1 - sum(high) + sum(low)
            if lacking > 0 and side is high:
                high[axis] = min(high[axis] + lacking, len(seen[axis]))
            elif lacking > 0:
                low[axis] = max(low[axis] - lacking, 0)
    return low, high


@lru_cache(16)
def _nearest(length: int, wanted: int) -> np.ndarray:
    """Of which pixel each one is taken where as many are wanted."""
    pixels = torch.arange(length, dtype=torch.float32)[None, None]
    return F.interpolate(pixels, size=wanted, mode='nearest')[0, 0].long().numpy()
