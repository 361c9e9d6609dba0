"""The shapes in exports of CVAT: their numbers, corners and masks."""

import math
import xml.etree.ElementTree as ET

import numpy as np
from pycocotools import mask as mask_utils

from mmvis_cl.errors import InputError, quoted


def is_set(shape: ET.Element, flag: str) -> bool:
    """Whether a flag, as ``outside``, is on."""
    return shape.get(flag, '').strip().lower() in ('1', 'true')


def number_of(shape: ET.Element, key: str, where: str) -> float:
    """A number that a shape has.

    Raises:
        InputError: It has none, or one that is not finite.
    """
    try:
        value = float(shape.get(key, ''))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(
            f'{where}: {key}={quoted(shape.get(key))} of a {shape.tag} is no number; export it '
            'again'
        )
    return value


def whole(shape: ET.Element, key: str, where: str) -> int:
    """A whole number that a shape has.

    Raises:
        InputError: It has none.
    """
    value = number_of(shape, key, where)
    if value != int(value):
        raise InputError(
            f'{where}: {key}={quoted(shape.get(key))} of a {shape.tag} is no whole number; export '
            'it again'
        )
    return int(value)


def corners(shape: ET.Element, where: str) -> np.ndarray:
    """Of a polygon: x1, y1, x2, y2, ..."""
    try:
        pairs = [pair.split(',') for pair in shape.get('points', '').split(';')]
        return np.array([(float(x), float(y)) for x, y in pairs]).reshape(-1)
    except ValueError as error:
        raise InputError(
            f'{where}: the points of the polygon are broken ({error}); export it again'
        ) from error


def mask_of_rle(shape: ET.Element, size: tuple[int, int], where: str) -> dict:
    """CVAT's RLE goes row by row over the box of the mask, and starts with background."""
    left, top, width, height = (
        whole(shape, key, where) for key in ('left', 'top', 'width', 'height')
    )
    if left < 0 or top < 0 or width < 1 or height < 1:
        raise InputError(f'{where}: the mask lies outside of the frame; export it again')
    if top + height > size[0] or left + width > size[1]:
        raise InputError(
            f'{where}: the mask goes to {left + width}x{top + height}, the frame is only '
            f'{size[1]}x{size[0]} (width x height); export it again'
        )
    try:
        counts = [int(count) for count in shape.get('rle', '').split(',')]
        if min(counts) < 0 or sum(counts) != width * height:
            raise ValueError(f'{quoted(sum(counts))} pixels for {width}x{height}')
    except ValueError as error:
        raise InputError(f'{where}: the RLE is broken ({error}); export it again') from error
    pixels = np.zeros(size, np.uint8, order='F')
    inside = np.repeat(np.arange(len(counts)) % 2, counts)
    pixels[top : top + height, left : left + width] = inside.reshape(height, width)
    return mask_utils.encode(pixels)
