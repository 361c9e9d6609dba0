"""Masks, their outlines, boxes and labels of the instances of a frame, coloured by identity."""

from collections.abc import Sequence

import cv2
import numpy as np
import supervision as sv

# The first seven are the Okabe-Ito set without black, which people with any common kind of colour
# blindness can tell apart; the rest are those colours of Paul Tol's sets that lie farthest from
# them and from one another in CIELAB.
_PALETTE = sv.ColorPalette.from_hex(
    [
        '#E69F00', '#56B4E9', '#009E73', '#CC79A7', '#0072B2', '#F0E442', '#D55E00',
        '#332288', '#666633', '#CCDDAA', '#EE3377', '#663333', '#FFCCCC', '#225555',
        '#EE8866', '#222255', '#999933', '#882255', '#AA4499', '#228833',
    ]
)  # fmt: skip


def identity_colors(identities: Sequence[int]) -> np.ndarray:
    """The colours that :func:`draw_tracks` gives to identities.

    Args:
        identities: n identities, integers of any size.

    Returns:
        (n, 3) uint8 array, RGB. Two identities that differ by a multiple of the palette's size
        (20) share a colour.
    """
    colors = [_PALETTE.by_idx(int(i) % len(_PALETTE.colors)).as_rgb() for i in identities]
    return np.array(colors, dtype=np.uint8).reshape(-1, 3)


def draw_tracks(
    image: np.ndarray,
    masks: np.ndarray,
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
    do not hide the objects.

    Args:
        image: (H, W, 3) uint8, RGB.
        masks: (n, H, W) bool.
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
        ValueError: If the numbers or shapes of the arguments do not agree.
    """
    height, width = image.shape[:2]
    n = len(identities)
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
    # supervision draws on OpenCV's channel order.
    canvas = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    if scale > 1:
        canvas = cv2.resize(canvas, size, interpolation=cv2.INTER_LINEAR)
    if n == 0:
        return cv2.cvtColor(canvas, cv2.COLOR_BGR2RGB)
    if scale > 1:
        masks = np.stack(
            [cv2.resize(m.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) for m in masks]
        ).astype(bool)
        bboxes = bboxes * np.float32([size[0] / width, size[1] / height] * 2)

    detections = sv.Detections(xyxy=bboxes, mask=masks, tracker_id=np.asarray(identities))
    colors = np.asarray(identities if color_ids is None else color_ids, dtype=int)
    colors %= len(_PALETTE.colors)
    # Line width and text grow with the frame, or they would vanish on a large one.
    unit = min(size) / 360
    text_scale = 0.4 * unit
    texts = []
    for i in range(n):
        score = '' if scores is None else f' {float(scores[i]):.2f}'
        texts.append(f'#{int(identities[i])} {labels[i]}{score}')

    # Dark text on light colours and light text on dark ones.
    luma = identity_colors(range(len(_PALETTE.colors))) @ np.array([0.299, 0.587, 0.114])
    text_palette = sv.ColorPalette([sv.Color.BLACK if y > 128 else sv.Color.WHITE for y in luma])
    annotators = (
        sv.MaskAnnotator(color=_PALETTE, opacity=opacity),
        # where two masks of like colours meet, only their outlines tell them apart
        sv.PolygonAnnotator(color=_PALETTE, thickness=max(1, round(1.5 * unit))),
        sv.BoxAnnotator(color=_PALETTE, thickness=max(1, round(1.5 * unit))),
    )
    for annotator in annotators:
        canvas = annotator.annotate(canvas, detections, custom_color_lookup=colors)
    for trail, color in zip(trails or (), colors, strict=trails is not None):
        # in sixteenths of a pixel, or slow objects would move in steps
        points = np.round(np.reshape(trail, (-1, 1, 2)) * np.divide(size, (width, height)) * 16)
        cv2.polylines(
            canvas,
            [points.astype(np.int32)],
            isClosed=False,
            color=_PALETTE.by_idx(int(color)).as_bgr(),
            thickness=max(2, round(2 * unit)),
            lineType=cv2.LINE_AA,
            shift=4,
        )
    canvas = sv.LabelAnnotator(
        color=_PALETTE,
        text_color=text_palette,
        text_scale=text_scale,
        text_thickness=max(1, round(unit)),
        text_padding=max(2, round(3 * unit)),
        smart_position=True,
    ).annotate(canvas, detections, labels=texts, custom_color_lookup=colors)
    return cv2.cvtColor(canvas, cv2.COLOR_BGR2RGB)
