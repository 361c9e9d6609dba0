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
    logits: Tensor,
    img_shape: tuple[int, int],
    out_shape: tuple[int, int],
    flip: bool,
    smooth: bool = False,
    values: bool = False,
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
        smooth: Resize logits bilinearly to the size that is wanted; else take the nearest pixels.
        values: Give the logits instead of whether they are positive.

    Returns:
        Of each mask row and column of the window's first pixel at the size that is wanted, and its
        pixels (h, w); none if nothing is positive.
    """
    sides = logits.shape[1:]
    positive = (logits > 0).numpy()
    seen_rows, seen_columns = (np.logical_or.reduce(positive, axis) for axis in (2, 1))
    sources = [_nearest(img_shape[axis], out_shape[axis]) for axis in (0, 1)]
    windows: list[tuple[int, int, np.ndarray]] = []
    for mask, *seen in zip(logits, seen_rows, seen_columns, strict=True):
        if not seen[0].any():
            windows.append((0, 0, np.zeros((0, 0), np.float32 if values else bool)))
            continue
        # a pixel of the smooth ones may lie between one at the window's edge and one beyond it
        low, high = _enlarged(seen, 2 if smooth else 1)
        (top, left), (bottom, right) = low, high
        pixels = F.interpolate(
            mask[None, None, top:bottom, left:right].float(),
            size=((bottom - top) * STRIDE, (right - left) * STRIDE),
            mode='bilinear',
            align_corners=False,
        )
        window, place = pixels[0, 0].numpy(), []
        window = window if smooth or values else window > 0
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
            if img_shape[axis] != out_shape[axis] and smooth:
                first, window = _resized(
                    window, axis, start, stop, img_shape[axis], out_shape[axis]
                )
            elif img_shape[axis] != out_shape[axis]:
                window = window.take(sources[axis][first:end] - start, axis)
            place.append(int(first))
        windows.append((place[0], place[1], window if values else window > 0))
    return windows


def _resized(
    window: np.ndarray, axis: int, start: int, stop: int, length: int, wanted: int
) -> tuple[int, np.ndarray]:
    """The pixels between those of a window, and the place of the first, on one axis.

    Args:
        window: (h, w) logits, its pixels on ``axis`` being ``start`` to ``stop`` of ``length``.
        axis: 0 or 1.
        start: See above.
        stop: See above.
        length: See above.
        wanted: Pixels in place of ``length``.
    """
    lower, upper, share = _between(length, wanted)
    first, end = np.searchsorted(lower, start), np.searchsorted(upper, stop)
    share = share[first:end] if axis else share[first:end, None]
    before = window.take(lower[first:end] - start, axis)
    after = window.take(upper[first:end] - start, axis)
    return int(first), (1 - share) * before + share * after


@lru_cache(16)
def _between(length: int, wanted: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each pixel wanted the two that it lies between, and how near it is to the second.

    As ``F.interpolate`` with corners that are not aligned has it.
    """
    scale = np.float32(length) / np.float32(wanted)
    place = (np.arange(wanted, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5)
    place = np.maximum(place, np.float32(0))
    lower = place.astype(np.int64)
    return lower, np.minimum(lower + 1, length - 1), place - lower


def _enlarged(seen: list[np.ndarray], margin: int) -> tuple[list[int], list[int]]:
    """First rows and columns, and those after the last, of the logits that are needed.

    Args:
        seen: Of each row and of each column whether it has a positive logit; some have.
        margin: Logits around the positive ones.
    """
    low = [max(int(each.argmax()) - margin, 0) for each in seen]
    high = [min(len(each) - int(each[::-1].argmax()) + margin, len(each)) for each in seen]
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
