"""Masks as polygons, for tools in which masks are outlines."""

from collections.abc import Sequence

import cv2
import numpy as np
from pycocotools import mask as mask_util

from .mask_crops import MaskCrop

TOLERANCE = 1.0  # pixels that an outline may be off the mask's border
LEAST_IOU = 0.97  # of a mask and its outlines; where this is not met they follow it more closely

MOST_HOLES = 50  # of a piece that are cut in where they are nearest
MOST_BORDERS = 100  # of a mask whose corners are thinned out


def mask_polygons(crop: MaskCrop) -> list[np.ndarray]:
    """The outlines of a mask's pieces, the largest piece first.

    They go along the edges of pixels, and at most ``TOLERANCE`` beside them, so far as the overlap
    of what they enclose with the mask is at least ``LEAST_IOU``; that of small and thin masks is
    exact. What they enclose is the mask by COCO's rule: the pixels whose centres lie inside. A hole
    is cut in by a slit without width, there and back. Pixels that touch at a corner are one piece.

    Args:
        crop: The mask.

    Returns:
        For each piece (n, 2) int, x and y of its corners in pixels of the frame.
    """
    # Each pixel is four here, of which the outer ones tell at which edge a border runs.
    fine = np.pad(crop.mask, 1).repeat(2, 0).repeat(2, 1)
    found, levels = cv2.findContours(fine, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    borders = [(border + 1) // 2 - 1 for border in found]
    # 0.71: of a border at 45 degrees; noise is not worth the search
    tolerances = (TOLERANCE, 0.71) if len(borders) <= MOST_BORDERS else ()
    polygons: list[np.ndarray] = []
    for tolerance in (*tolerances, 0.0):
        polygons = _outlines(borders, levels, tolerance)
        if tolerance == 0 or _iou(polygons, crop.mask) >= LEAST_IOU:
            break
    corner = np.array([crop.left, crop.top])
    return [polygon + corner for polygon in polygons]


def _outlines(
    borders: Sequence[np.ndarray], levels: np.ndarray, tolerance: float
) -> list[np.ndarray]:
    """Of each piece, in pixels of the crop."""
    along = [cv2.approxPolyDP(border, tolerance, True)[:, 0] for border in borders]
    pieces = []
    for place, line in enumerate(along):
        if levels[0][place][3] >= 0 or len(line) < 3:  # a hole; or thinner than the tolerance
            continue
        holes, hole = [], levels[0][place][2]
        while hole >= 0:
            if len(along[hole]) >= 3:
                holes.append(along[hole])
            hole = levels[0][hole][0]
        pieces.append((cv2.contourArea(borders[place]), _with_holes(line, holes)))
    return [line for _, line in sorted(pieces, key=lambda piece: piece[0], reverse=True)]


def _with_holes(line: np.ndarray, holes: Sequence[np.ndarray]) -> np.ndarray:
    """An outline that goes on around holes, each from the corner next to it, and back."""
    around: dict[int, list[np.ndarray]] = {}
    for hole in holes:
        # of noise with thousands of holes, all from the first corner
        at = int(np.abs(line - hole[0]).sum(1).argmin()) if len(holes) <= MOST_HOLES else 0
        hole = np.roll(hole, -int(np.abs(hole - line[at]).sum(1).argmin()), axis=0)
        around.setdefault(at, []).extend([hole, hole[:1], line[at : at + 1]])
    parts, begin = [], 0
    for at, detours in sorted(around.items()):
        parts += [line[begin : at + 1], *detours]
        begin = at + 1
    return np.concatenate([*parts, line[begin:]])


def _iou(polygons: Sequence[np.ndarray], mask: np.ndarray) -> float:
    if not polygons:
        return 0.0
    h, w = mask.shape
    inside = mask_util.decode(
        mask_util.merge(
            mask_util.frPyObjects([p.reshape(-1).astype(float).tolist() for p in polygons], h, w)
        )
    )
    return int(np.count_nonzero(inside & mask)) / max(1, int(np.count_nonzero(inside | mask)))
