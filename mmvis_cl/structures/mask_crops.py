"""Masks cut out at their bounding boxes, from RLE: no frame is filled for a small object."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from mmvis_cl.ops.rle_counts import read_counts


class MaskCrop(NamedTuple):
    """The smallest rectangle with all of a mask.

    Attributes:
        left: Of the frame's column that is the crop's first; 0 if the mask is empty.
        top: Likewise of the row.
        mask: (h, w) uint8, 0 or 1, row by row; (0, 0) if the mask is empty.
        area: Pixels of the mask.
    """

    left: int
    top: int
    mask: np.ndarray
    area: int


def mask_crops(rles: Sequence[dict], shape: tuple[int, int]) -> list[MaskCrop]:
    """Cut masks out at their bounding boxes.

    All masks are read together, in 20 us each for objects of 200x150 in 720p, where pycocotools
    needs 500 for the frame.

    Args:
        rles: n masks as compressed COCO RLE, ``counts`` as str or bytes.
        shape: Height and width of the frame.

    Returns:
        The n crops.

    Raises:
        ValueError: A mask is no RLE of all pixels of a frame of this size.
    """
    h, w = shape
    if not rles:
        return []
    if any(tuple(rle['size']) != (h, w) for rle in rles):
        found = sorted({tuple(rle['size']) for rle in rles})
        raise ValueError(f'masks of {found} (h, w) for a frame of {(h, w)}')
    texts = [
        rle['counts'].decode() if isinstance(rle['counts'], bytes) else rle['counts']
        for rle in rles
    ]
    try:
        counts, sizes, _ = read_counts(texts)
        totals = np.add.reduceat(counts, sizes.cumsum() - sizes, dtype=np.int64)
    except (TypeError, ValueError, IndexError) as error:
        raise ValueError('a mask is no compressed RLE') from error
    if counts.min() < 0 or (totals != h * w).any():
        raise ValueError(f'a mask is no RLE of all {h * w} pixels of its frame')

    # One mask's pixels after the other's, column by column: the runs of object in this row.
    lengths = counts[1::2]
    ends = counts.cumsum(dtype=np.int64)[1::2]
    of = np.repeat(np.arange(len(rles)), sizes // 2)
    lengths, ends, of = (values[lengths > 0] for values in (lengths, ends, of))
    left, first_row = np.divmod(ends - lengths, h)
    right, last_row = np.divmod(ends - 1, h)
    crops = [MaskCrop(0, 0, np.zeros((0, 0), np.uint8), 0)] * len(rles)
    if not len(of):
        return crops

    begins = np.flatnonzero(np.diff(of, prepend=-1))
    seen = of[begins]
    # a run that goes on in the next column has the last row of the one and the first of the other
    goes_on = right > left
    top = np.minimum.reduceat(np.where(goes_on, 0, first_row), begins)
    bottom = np.maximum.reduceat(np.where(goes_on, h - 1, last_row), begins) + 1
    areas = np.add.reduceat(lengths, begins)
    first = left[begins]
    heights = bottom - top
    widths = right[np.append(begins[1:], len(of)) - 1] + 1 - first

    # The same runs where only the crops are in the row.
    pixels = heights * widths
    start = pixels.cumsum() - pixels
    runs = np.diff(begins, append=len(of))
    origin, height = np.repeat(start - top - first * heights, runs), np.repeat(heights, runs)
    edges = np.empty(2 * len(of) + 2, np.int64)
    edges[0], edges[-1] = 0, pixels.sum()
    edges[1:-1:2] = origin + left * height + first_row
    edges[2:-1:2] = origin + right * height + last_row + 1
    inside = np.arange(2 * len(of) + 1, dtype=np.uint8) & 1
    row = np.repeat(inside, np.diff(edges))
    for i, mask in enumerate(seen.tolist()):
        columns = row[start[i] : start[i] + pixels[i]].reshape(widths[i], heights[i])
        place = int(first[i] - mask * w), int(top[i])
        crops[mask] = MaskCrop(*place, cv2.transpose(columns), int(areas[i]))
    return crops


def crops_of_masks(masks: np.ndarray) -> list[MaskCrop]:
    """Cut masks (n, H, W) bool out at their bounding boxes."""
    crops = []
    for mask in masks:
        columns, rows = (np.flatnonzero(mask.any(axis)) for axis in (0, 1))
        if not len(rows):
            crops.append(MaskCrop(0, 0, np.zeros((0, 0), np.uint8), 0))
            continue
        left, top = int(columns[0]), int(rows[0])
        crop = mask[top : rows[-1] + 1, left : columns[-1] + 1].astype(np.uint8)
        crops.append(MaskCrop(left, top, crop, int(np.count_nonzero(crop))))
    return crops
