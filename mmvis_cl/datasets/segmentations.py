"""Masks as files have them, checked and made compressed RLE: the one door for all of them.

pycocotools checks nothing. A far or NaN coordinate ends the process or takes all memory, and of an
RLE that does not cover its frame it gives pixels that nobody wrote.
"""

import math
from collections.abc import Sequence
from numbers import Real

import numpy as np
from pycocotools import mask as mask_utils

from mmvis_cl import limits
from mmvis_cl.errors import InputError, quoted
from mmvis_cl.ops.rle_counts import AT_ONCE, first_broken, pixels_covered

# Coordinates may lie this many longer sides outside of the frame.
_SIDES_OUTSIDE = 10


class RLECheck:
    """Checks the counts of compressed RLE, those of several tracks at once.

    A call for 400 masks takes 2 us a mask, one for the 24 of a track 5 us.
    """

    def __init__(self) -> None:
        self._counts, self._tracks = [], []

    def add(self, counts: list[str], frames: list[int], pixels: int, where: str) -> None:
        """Look at the masks of a track, now or later.

        Args:
            counts: Of its masks.
            frames: Of its masks.
            pixels: Of a frame.
            where: What the message of an error begins with.

        Raises:
            InputError: One of the masks so far is broken or does not cover its frame.
        """
        if self._tracks and (pixels != self._tracks[-1][1] or len(self._counts) >= AT_ONCE):
            self.finish()
        self._counts += counts
        self._tracks.append((frames, pixels, where))

    def finish(self) -> None:
        """Look at what is left.

        Raises:
            InputError: See :meth:`add`.
        """
        if not self._tracks:
            return
        pixels = self._tracks[0][1]
        place = first_broken(self._counts, pixels)
        if place is not None:
            counts = self._counts[place]
            for frames, _, where in self._tracks:
                if place < len(frames):
                    _check_counts(counts, pixels, f'{where}, frame {frames[place]}')
                place -= len(frames)
        self._counts, self._tracks = [], []


def masks_of_track(
    segmentations: Sequence[dict | list | None],
    height: int,
    width: int,
    where: str,
    check: RLECheck | None = None,
) -> list[dict | None]:
    """The masks of a track, checked, as compressed RLE.

    Args:
        segmentations: For each frame any of COCO's kinds of segmentation; None or an empty list
            where the object is not seen.
        height: Of the video in pixels.
        width: Of the video in pixels.
        where: What the message of an error begins with.
        check: Of several tracks; whoever gives it calls ``finish`` after the last.

    Returns:
        For each frame RLE with ``size`` [height, width] and str ``counts``, or None. What was such
        RLE is the same object.

    Raises:
        InputError: One is broken or of another size.
    """
    size = [height, width]
    masks, frames, compressed = [], [], []
    for frame, segmentation in enumerate(segmentations):
        if segmentation is None or segmentation == []:
            masks.append(None)
            continue
        if type(segmentation) is dict and segmentation.get('size') == size:
            # As it should be, but for what the counts say. 24.0 and true are equal to numbers.
            (rows, columns), counts = segmentation['size'], segmentation.get('counts')
            if type(counts) is str and type(rows) is type(columns) is int:
                masks.append(segmentation)
                frames.append(frame)
                compressed.append(counts)
                continue
        masks.append(to_rle(segmentation, height, width, f'{where}, frame {frame}'))
    this = check or RLECheck()
    this.add(compressed, frames, height * width, where)
    if check is None:
        this.finish()
    return masks


def to_rle(segmentation: dict | list, height: int, width: int, where: str) -> dict:
    """Any of COCO's three kinds of segmentation as compressed RLE with str counts.

    Args:
        segmentation: Polygons [[x1, y1, x2, y2, ...], ...] or one polygon [x1, y1, ...], RLE with a
            list of counts, or compressed RLE.
        height: Of the image in pixels.
        width: Of the image in pixels.
        where: What the message of an error begins with.

    Raises:
        InputError: It is broken or of another size.
    """
    if isinstance(segmentation, list):
        rle = polygons_to_rle(segmentation, height, width, where)
    elif isinstance(segmentation, dict):
        rle = _checked_rle(segmentation, height, width, where)
    else:
        raise InputError(
            f'{where}: {quoted(segmentation)} is no mask; give RLE, a list of polygons, or null '
            'where the object is not seen'
        )
    counts = rle['counts']
    return dict(
        size=[height, width],
        counts=counts.decode() if isinstance(counts, bytes) else counts,
    )


def polygons_to_rle(polygons: list, height: int, width: int, where: str) -> dict:
    """Compressed RLE of the pixels within polygons, as pycocotools writes it.

    Args:
        polygons: [[x1, y1, x2, y2, ...], ...] in pixels; or one polygon alone, [x1, y1, ...].
        height: Of the image in pixels.
        width: Of the image in pixels.
        where: What the message of an error begins with.

    Raises:
        InputError: A polygon is none, or lies so far outside that it would take much time and
            memory.
    """
    checked = _checked_polygons(polygons, height, width, where)
    return mask_utils.merge(mask_utils.frPyObjects(checked, height, width))


def check_image_mask(segmentation: dict | list, height: int, width: int, where: str) -> dict | list:
    """Check a segmentation of COCO, and leave it in its kind: 2 us for a polygon.

    Polygons with fewer than three points, which COCO has some of, may be among others: mmdet leaves
    them out.

    Args:
        segmentation: As in :func:`to_rle`.
        height: Of the image in pixels.
        width: Of the image in pixels.
        where: What the message of an error begins with.

    Returns:
        The segmentation; of one polygon [x1, y1, ...] a list of it.

    Raises:
        InputError: See :func:`to_rle`.
    """
    if not isinstance(segmentation, list):
        to_rle(segmentation, height, width, where)
        return segmentation
    if segmentation and isinstance(segmentation[0], Real):
        segmentation = [segmentation]
    far = _SIDES_OUTSIDE * max(height, width)
    outline = 0
    for polygon in segmentation:
        try:
            low, high = min(polygon), max(polygon)
            right = math.isfinite(sum(polygon)) and -far <= low and high <= far
        except (TypeError, ValueError, OverflowError):
            right = False
        # Of a broken one the slow check knows what is wrong.
        if not right:
            _checked_polygons([polygon], height, width, where)
            low, high = -2 * far, 2 * far
        outline += len(polygon) // 2 * (high - low)
    if outline > limits.MAX_OUTLINE_PIXELS:  # at most
        _checked_polygons([p for p in segmentation if len(p) > 5], height, width, where)
    return segmentation


def _checked_polygons(polygons: list, height: int, width: int, where: str) -> list[np.ndarray]:
    if not polygons:
        raise InputError(f'{where}: has no polygon; add one or remove the annotation')
    if isinstance(polygons[0], Real):
        polygons = [polygons]
    checked, outline = [], 0.0
    for polygon in polygons:
        corners = _corners(polygon, where)
        side = max(height, width)
        farthest = max(corners.max() - side, -corners.min())
        if farthest > _SIDES_OUTSIDE * side:
            raise InputError(
                f'{where}: a polygon lies {farthest:.3g} pixels outside of the frame, which is '
                f'{width}x{height} (width x height); correct or cut it'
            )
        points = corners.reshape(-1, 2)
        outline += np.abs(points - np.roll(points, 1, 0)).max(1).sum()
        checked.append(corners)
    if outline > limits.MAX_OUTLINE_PIXELS:
        raise InputError(
            f'{where}: the outlines of the polygons are {outline:.3g} pixels long; give a mask as '
            'RLE, or raise MMVIS_CL_MAX_OUTLINE_PIXELS'
        )
    return checked


def _corners(polygon: object, where: str) -> np.ndarray:
    """(2 n,) float64."""
    if not isinstance(polygon, (list, tuple, np.ndarray)):
        raise InputError(
            f'{where}: {quoted(polygon)} is no polygon; give a list x1, y1, x2, y2, x3, y3, ...'
        )
    try:
        corners = np.asarray(polygon)
        usable = corners.ndim == 1 and (corners.dtype.kind in 'iuf' or not len(corners))
    except (ValueError, OverflowError):  # lists of several lengths
        usable = False
    if not usable:
        raise InputError(
            f'{where}: the polygon {quoted(polygon)} is not made of numbers; give x1, y1, x2, y2, '
            'x3, y3, ...'
        )
    if len(corners) < 6 or len(corners) % 2:
        raise InputError(
            f'{where}: a polygon needs at least three points (x1, y1, x2, y2, x3, y3, ...); '
            'mend or remove it'
        )
    corners = corners.astype(np.float64)
    if not np.isfinite(corners).all():
        raise InputError(
            f'{where}: a polygon has a coordinate that is no finite number; correct or remove it'
        )
    return corners


def _checked_rle(rle: dict, height: int, width: int, where: str) -> dict:
    for key in ('size', 'counts'):
        if key not in rle:
            raise InputError(f"{where}: the RLE lacks '{key}'; encode the mask anew")
    size, counts = rle['size'], rle['counts']
    if isinstance(size, tuple):
        size = list(size)
    if type(size) is not list or size != [height, width]:
        raise InputError(
            f'{where}: the RLE is of size {quoted(size)}, the video is [{height}, {width}] '
            '(height, width); encode the mask at the size of the video'
        )
    if isinstance(counts, (str, bytes)):
        if isinstance(counts, bytes):
            counts = counts.decode('latin-1')
        _check_counts(counts, height * width, where)
        return dict(size=[height, width], counts=counts)
    try:
        numbers = np.asarray(counts if isinstance(counts, list) else None)
        usable = numbers.ndim == 1 and numbers.dtype.kind in 'iu' and len(numbers) > 0
    except (ValueError, OverflowError):
        usable = False
    if not usable or numbers.min() < 0:
        raise InputError(
            f'{where}: the RLE is broken (its counts are {quoted(counts)}); encode it anew or '
            'copy the file again'
        )
    # No number alone may be so large that the sum would begin anew at 0.
    covered = int(numbers.max())
    if covered <= height * width:
        covered = int(numbers.sum(dtype=np.int64))
    if covered != height * width:
        raise _misses(covered, height * width, where)
    return mask_utils.frPyObjects(dict(size=[height, width], counts=counts), height, width)


def _check_counts(counts: str, pixels: int, where: str) -> None:
    try:
        covered = pixels_covered(counts)
    except ValueError as error:
        raise InputError(
            f'{where}: the RLE is broken ({error}); encode the mask anew or copy the file again'
        ) from error
    if covered != pixels:
        raise _misses(covered, pixels, where)


def _misses(covered: int, pixels: int, where: str) -> InputError:
    return InputError(
        f'{where}: the RLE covers {covered} pixels, the video has {pixels}; encode the mask at the '
        'size of the video'
    )
