"""Masks, their outlines, boxes and labels of the instances of a frame, coloured by identity."""

from collections.abc import Sequence

import cv2
import numpy as np

from mmvis_cl.structures.mask_crops import MaskCrop, crops_of_masks, mask_crops

from .labels import label_picture, place_labels
from .mask_overlay import fill_masks, outline_masks

# The first seven are the Okabe-Ito set without black, which people with any common kind of colour
# blindness can tell apart; the rest are those colours of Paul Tol's sets that lie farthest from
# them and from one another in CIELAB.
_PALETTE = np.array(
    [
        list(bytes.fromhex(color))
        for color in (
            'E69F00', '56B4E9', '009E73', 'CC79A7', '0072B2', 'F0E442', 'D55E00',
            '332288', '666633', 'CCDDAA', 'EE3377', '663333', 'FFCCCC', '225555',
            'EE8866', '222255', '999933', '882255', 'AA4499', '228833',
        )
    ],
    np.uint8,
)  # fmt: skip


def identity_colors(identities: Sequence[int]) -> np.ndarray:
    """The colours that :func:`draw_tracks` gives to identities.

    Args:
        identities: n identities, integers of any size.

    Returns:
        (n, 3) uint8 array, RGB. Two identities that differ by a multiple of the palette's size
        (20) share a colour.
    """
    return _PALETTE[[int(i) % len(_PALETTE) for i in identities]].reshape(-1, 3)


def draw_tracks(
    image: np.ndarray,
    masks: np.ndarray | Sequence[dict],
    bboxes: np.ndarray,
    labels: Sequence[str],
    scores: Sequence[float] | None,
    identities: Sequence[int],
    color_ids: Sequence[int] | None = None,
    trails: Sequence[np.ndarray] | None = None,
    min_side: int = 360,
    opacity: float = 0.45,
) -> np.ndarray:
    """Draw the instances of one frame.

    A frame that is smaller than ``min_side`` is enlarged first, so that the labels can be read and
    do not hide the objects. Only within the objects' boxes anything is computed: RLE takes far less
    time than dense masks.

    Args:
        image: (H, W, 3) uint8, RGB.
        masks: n masks as COCO RLE of the image's size, or (n, H, W) bool.
        bboxes: (n, 4) xyxy in pixels of ``image``.
        labels: n class names.
        scores: n scores, or None to leave them out (as for ground truth).
        identities: n identities, written as ``#identity``.
        color_ids: n integers that choose the colours; the identities if None.
        trails: n arrays (k, 2), where each has been: x y in pixels of ``image``, joined to a line.
        min_side: The shorter side of the returned image is at least this many pixels.
        opacity: Of the masks, 0 to 1.

    Returns:
        (H', W', 3) uint8, RGB; a new array.

    Raises:
        ValueError: If the numbers or shapes of the arguments do not agree, or a mask is no RLE of
            all pixels of the image.
    """
    height, width = image.shape[:2]
    n = len(identities)
    if not (len(masks) and isinstance(masks[0], dict)):
        masks = np.asarray(masks, dtype=bool).reshape(-1, height, width)
    bboxes = np.asarray(bboxes, dtype=np.float32).reshape(-1, 4)
    lengths = {len(masks), len(bboxes), len(labels), n}
    lengths |= {len(x) for x in (scores, color_ids, trails) if x is not None}
    if lengths != {n}:
        raise ValueError(
            f'draw_tracks: {len(masks)} masks, {len(bboxes)} boxes, {len(labels)} labels, '
            f'{n} identities: the numbers must agree (scores, color_ids and trails too)'
        )

    scale = max(1.0, min_side / min(height, width))
    size = (round(width * scale), round(height * scale))
    stretch = np.divide(size, (width, height))
    if scale > 1:
        canvas = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    else:
        canvas = np.array(image, order='C')
    if n == 0:
        return canvas
    dense = isinstance(masks, np.ndarray)
    crops = crops_of_masks(masks) if dense else mask_crops(masks, (height, width))
    if scale > 1:
        crops = [_enlarged(crop, stretch) for crop in crops]

    # Line width and text grow with the frame, or they would vanish on a large one.
    unit = min(size) / 360
    thickness = max(1, round(1.5 * unit))
    colors = identity_colors(identities if color_ids is None else color_ids)
    fill_masks(canvas, crops, colors, opacity)
    # where two masks of like colours meet, only their outlines tell them apart
    outline_masks(canvas, crops, colors, thickness + 1)
    bboxes = bboxes * np.tile(stretch, 2)
    corners = bboxes.astype(int).tolist()
    for (x1, y1, x2, y2), color in zip(corners, colors.tolist(), strict=True):
        cv2.rectangle(canvas, (x1, y1), (x2, y2), color, thickness)
    for trail, color in zip(trails or (), colors.tolist(), strict=trails is not None):
        # in sixteenths of a pixel, or slow objects would move in steps
        points = np.round(np.reshape(trail, (-1, 1, 2)) * stretch * 16).astype(np.int32)
        cv2.polylines(canvas, [points], False, color, max(2, round(2 * unit)), cv2.LINE_AA, shift=4)

    pictures = []
    for i, color in enumerate(colors.tolist()):
        score = '' if scores is None else f' {float(scores[i]):.2f}'
        text = f'#{int(identities[i])} {labels[i]}{score}'
        pictures.append(label_picture(text, tuple(color), unit))
    # by identity, so that from frame to frame the same label gives way
    order = np.argsort(np.asarray(identities), kind='stable')
    sizes = np.array([picture.shape[1::-1] for picture in pictures])
    places = place_labels(bboxes[order, :2], sizes[order], size)
    for i, (x, y) in zip(order.tolist(), places.tolist(), strict=True):
        part = canvas[y : y + sizes[i, 1], x : x + sizes[i, 0]]
        part[:] = pictures[i][: part.shape[0], : part.shape[1]]
    return canvas


def _enlarged(crop: MaskCrop, stretch: np.ndarray) -> MaskCrop:
    """What a crop is where the whole frame is enlarged, each pixel taking the nearest one."""
    if not crop.area:
        return crop
    first = np.array([crop.left, crop.top])
    start = np.ceil(first * stretch - 0.5).astype(int)
    end = np.ceil((first + crop.mask.shape[::-1]) * stretch - 0.5).astype(int)
    columns, rows = (
        ((np.arange(start[k], end[k]) + 0.5) / stretch[k]).astype(int) - first[k] for k in (0, 1)
    )
    mask = crop.mask[rows][:, columns]
    return MaskCrop(*start.tolist(), mask, int(np.count_nonzero(mask)))
