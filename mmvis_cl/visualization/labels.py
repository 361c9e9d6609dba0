"""Texts on a ground of their own, placed so that none hides another."""

from functools import lru_cache

import cv2
import numpy as np

_FONT = cv2.FONT_HERSHEY_SIMPLEX
# Pictures that are kept: with two decimals of a score a frame has few new ones. 4 MB of 720p.
_KEPT = 256


@lru_cache(_KEPT)
def label_picture(text: str, color: tuple[int, int, int], unit: float) -> np.ndarray:
    """A text on a coloured ground, dark on light colours and light on dark ones.

    Args:
        text: One line.
        color: Of the ground, RGB.
        unit: Of lengths: 1 for a frame whose shorter side is 360 pixels.

    Returns:
        (h, w, 3) uint8, not to be written to.
    """
    scale, thickness, pad = 0.4 * unit, max(1, round(unit)), max(2, round(3 * unit))
    (width, height), _ = cv2.getTextSize(text, _FONT, scale, thickness)
    picture = np.empty((height + 2 * pad + 1, width + 2 * pad + 1, 3), np.uint8)
    cv2.rectangle(picture, (0, 0), picture.shape[1::-1], color, cv2.FILLED)
    luma = np.dot(color, (0.299, 0.587, 0.114))
    ink = (0, 0, 0) if luma > 128 else (255, 255, 255)
    at = pad, pad + height
    cv2.putText(picture, text, at, _FONT, scale, ink, thickness, cv2.LINE_AA)
    picture.flags.writeable = False
    return picture


def place_labels(corners: np.ndarray, sizes: np.ndarray, frame_size: tuple[int, int]) -> np.ndarray:
    """Places within the frame where no label hides another, as near as can be to their objects.

    One after the other, each gets the free place nearest to the one that it should have; it touches
    the others or the frame, so only such places are looked at. Where there is none, the frame being
    full, it lies where it should.

    Args:
        corners: (n, 2) x, y at which the lower left corners should be, any numbers.
        sizes: (n, 2) widths and heights, pixels.
        frame_size: Width and height.

    Returns:
        (n, 2) int, x and y of the upper left corners; all of a label is in the frame if it fits.
    """
    room = np.maximum(np.subtract(frame_size, sizes), 0)
    wanted = np.clip(np.round(corners).astype(int) - np.array([0, 1]) * sizes, 0, room)
    places = wanted.copy()
    for i in range(1, len(places)):
        low, high = places[:i], places[:i] + sizes[:i]
        meets = (wanted[i] < high) & (wanted[i] + sizes[i] > low)
        if not meets.all(1).any():
            continue
        edges = np.concatenate((wanted[i : i + 1], high, low - sizes[i]))
        x, y = np.clip(edges, 0, room[i]).T
        # of each x (y) and each label that is there: whether the columns (rows) would meet
        columns, rows = (
            ((at[:, None] < high[:, k]) & (at[:, None] + sizes[i, k] > low[:, k])).astype(
                np.float32
            )
            for k, at in enumerate((x, y))
        )
        away = np.hypot(*np.ix_(x - wanted[i, 0], y - wanted[i, 1]))
        away[columns @ rows.T > 0] = np.inf
        nearest = np.unravel_index(away.argmin(), away.shape)
        if np.isfinite(away[nearest]):
            places[i] = x[nearest[0]], y[nearest[1]]
    return places
