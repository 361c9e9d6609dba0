"""Masks of boxes, which may be turned, and ellipses, as annotation tools draw them."""

import math
from collections.abc import Sequence

import numpy as np

from mmvis_cl.datasets.segmentations import polygons_to_rle
from mmvis_cl.errors import InputError, quoted

CORNERS_OF_AN_ELLIPSE = 64


def fill_box(
    box: Sequence[float],
    size: tuple[int, int],
    where: str,
    degrees: float = 0.0,
    pivot: tuple[float, float] | None = None,
) -> dict:
    """The mask of a whole box.

    Args:
        box: x, y, width, height in pixels.
        size: Height and width of the image.
        where: What the message of an error begins with.
        degrees: By which it is turned, clockwise as one sees it.
        pivot: x, y of what it is turned around; its centre if None.

    Returns:
        COCO RLE.

    Raises:
        InputError: The box is none, or lies far outside of the image.
    """
    try:
        x, y, width, height = np.asarray(box, np.float64)
        degrees = float(degrees)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f'{where}: {quoted(box)} is no box; give x, y, width and height in pixels'
        ) from error
    if not np.isfinite([x, y, width, height, degrees]).all() or width < 0 or height < 0:
        raise InputError(
            f'{where}: the box {quoted(box)} is negative or has a value that is no finite number; '
            'give x, y, width and height in pixels'
        )
    corners = np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)])
    return _fill(corners, pivot or (x + width / 2, y + height / 2), degrees, size, where)


def fill_ellipse(
    centre: tuple[float, float],
    radii: tuple[float, float],
    size: tuple[int, int],
    where: str,
    degrees: float = 0.0,
) -> dict:
    """The mask of an ellipse.

    Args:
        centre: x, y in pixels.
        radii: Along x and y, before it is turned.
        size: Height and width of the image.
        where: What the message of an error begins with.
        degrees: By which it is turned around its centre, clockwise as one sees it.

    Returns:
        COCO RLE.

    Raises:
        InputError: It lies far outside of the image, or a value is not finite.
    """
    angles = np.linspace(0, 2 * np.pi, CORNERS_OF_AN_ELLIPSE, endpoint=False)
    corners = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii + centre
    return _fill(corners, centre, degrees, size, where)


def _fill(
    corners: np.ndarray,
    pivot: tuple[float, float],
    degrees: float,
    size: tuple[int, int],
    where: str,
) -> dict:
    if degrees:
        x, y = (corners - pivot).T
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        corners = np.stack([x * cos - y * sin, x * sin + y * cos], axis=1) + pivot
    return polygons_to_rle([corners.reshape(-1)], *size, where)
