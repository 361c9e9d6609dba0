"""Masks and their outlines on a picture, each within its bounding box."""

from collections.abc import Sequence

import cv2
import numpy as np

from mmvis_cl.structures.mask_crops import MaskCrop

_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
_SQUARE = cv2.getStructuringElement(cv2.MORPH_RECT, (3, 3))


def fill_masks(
    canvas: np.ndarray, crops: Sequence[MaskCrop], colors: np.ndarray, opacity: float
) -> None:
    """Blend masks with what is below them, in place; where masks meet, the smaller one is seen.

    A pixel is within a level of ``(1 - opacity) * canvas + opacity * color``.

    Args:
        canvas: (H, W, 3) uint8.
        crops: n masks.
        colors: (n, 3) uint8.
        opacity: 0 to 1.
    """
    below = [cv2.convertScaleAbs(canvas[_place(crop)], alpha=1 - opacity) for crop in crops]
    tints = np.rint(opacity * colors)
    for i in sorted(range(len(crops)), key=lambda i: -crops[i].area):
        if crops[i].area:
            _paint(canvas[_place(crops[i])], below[i], tints[i], crops[i].mask)


def outline_masks(
    canvas: np.ndarray, crops: Sequence[MaskCrop], colors: np.ndarray, thickness: int
) -> None:
    """Draw the borders of masks, also those of holes and at the frame's edge, in place.

    A line lies half inside of the mask, a pixel more of it if ``thickness`` is odd, half outside.

    Args:
        canvas: (H, W, 3) uint8.
        crops: n masks.
        colors: (n, 3) uint8.
        thickness: Pixels, at least 1.
    """
    outside, inside = thickness // 2, (thickness + 1) // 2
    black = np.zeros_like(canvas)
    for (left, top, mask, area), color in zip(crops, colors, strict=True):
        if not area:
            continue
        line = cv2.copyMakeBorder(mask, *[outside] * 4, cv2.BORDER_CONSTANT)
        core = line
        for i in range(outside):
            line = cv2.dilate(line, _SQUARE if i % 2 else _CROSS)
        for i in range(inside):
            core = cv2.erode(
                core, _SQUARE if i % 2 else _CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=0
            )
        line = cv2.subtract(line, core)
        # what is outside of the frame
        cut_left, cut_top = max(0, outside - left), max(0, outside - top)
        line = line[cut_top:, cut_left:]
        part = canvas[top - outside + cut_top :, left - outside + cut_left :]
        part = part[: line.shape[0], : line.shape[1]]
        line = line[: part.shape[0], : part.shape[1]]
        _paint(part, black[: part.shape[0], : part.shape[1]], color, line)


def _place(crop: MaskCrop) -> tuple[slice, slice]:
    h, w = crop.mask.shape
    return slice(crop.top, crop.top + h), slice(crop.left, crop.left + w)


def _paint(canvas: np.ndarray, below: np.ndarray, tint: np.ndarray, mask: np.ndarray) -> None:
    """Where the mask is not 0, the canvas becomes the sum of what is below and the tint."""
    cv2.add(below, (*tint.tolist(), 0.0), dst=canvas, mask=mask)
