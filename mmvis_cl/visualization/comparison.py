"""Ground truth and results side by side; identity switches, misses, wrong classes are marked."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pycocotools import mask as mask_utils

from mmvis_cl.evaluation.error_kinds import shared_pixels
from mmvis_cl.evaluation.identity_events import FrameEvents, identity_events, object_of_identity
from mmvis_cl.evaluation.track_matching import TrackMasks

from .draw_tracks import draw_tracks, identity_colors

TRUTH = 'ground truth'
_HELD = 2  # more frames for which a switch stays marked, or nobody would see it
_GREY, _DARK, _LIGHT, _WHITE = (150,) * 3, (24,) * 3, (235,) * 3, (255,) * 3
_RED = (220, 40, 40)
_FONT = Path(matplotlib.get_data_path()) / 'fonts/ttf/DejaVuSans.ttf'


class _Identity(NamedTuple):
    """What is drawn of an identity.

    ``color`` is None if it is of no object; ``is_a`` is the class of its object, if another one.
    """

    masks: TrackMasks
    label: str
    score: float | None
    color: int | None
    is_a: str | None = None


class _Panel(NamedTuple):
    name: str
    identities: list[_Identity]
    events: list[FrameEvents]


class Comparison:
    """The frames of a video, drawn once for the ground truth and once for each result.

    Objects have the colours of their identities in the ground truth. An identity of a result has
    the colour of the object that it lies on in most frames, or is grey and hatched if there is
    none. Where several tracks of a result have the same masks, the one with the best score is
    drawn. If its class is not that of the object, it has a red ring and a note with the right one.

    Args:
        video: Its entry in the annotations.
        objects: Annotated tracks of the video: dicts with ``category_id`` and ``segmentations``
            (for each frame compressed RLE, or None).
        results: For each name tracks of the video, likewise, with ``score`` too.
        class_names: Name of each category id.
        score_thr: Tracks with a lower score are left out, and do not count.
        panel_width: Pixels.
        columns: Panels in a row; by default all if they are up to three, then about a square.
    """

    def __init__(
        self,
        video: dict,
        objects: list[dict],
        results: dict[str, list[dict]],
        class_names: dict[int, str],
        score_thr: float = 0.3,
        panel_width: int = 640,
        columns: int | None = None,
    ) -> None:
        self._video = video
        scale = panel_width / video['width']
        self._size = panel_width, max(1, round(video['height'] * scale))
        # Of text and lines: 1 if the shorter side is 360 pixels.
        self._unit = max(0.6, min(self._size) / 360)
        self._font = ImageFont.truetype(str(_FONT), round(13 * self._unit))

        masks = [TrackMasks(track['segmentations']) for track in objects]
        order = _by_first_frame(masks)
        masks = [masks[i] for i in order]
        truth = [
            _Identity(masks[place], class_names[objects[i]['category_id']], None, place)
            for place, i in enumerate(order)
        ]
        length = video.get('length', len(video.get('file_names', ())))
        present = _seen(masks, length)
        self._truth = truth
        self._panels = [_Panel(TRUTH, truth, [FrameEvents({}, [], [], [])] * length)]
        for name, tracks in results.items():
            tracks = _one_a_mask([track for track in tracks if track['score'] >= score_thr])
            found = [TrackMasks(track['segmentations']) for track in tracks]
            order = _by_first_frame(found)
            found, tracks = [found[i] for i in order], [tracks[i] for i in order]
            frame_iou = _frame_iou(found, masks, length)
            identities = [
                _Identity(
                    mask,
                    class_names[track['category_id']],
                    track['score'],
                    color,
                    None
                    if color is None or truth[color].label == class_names[track['category_id']]
                    else truth[color].label,
                )
                for mask, track, color in zip(
                    found, tracks, object_of_identity(frame_iou), strict=True
                )
            ]
            events = identity_events(frame_iou, _seen(found, length), present)
            self._panels.append(_Panel(name, identities, events))
        self._columns = columns or (
            len(self._panels) if len(self._panels) <= 3 else int(np.ceil(len(self._panels) ** 0.5))
        )

    def counts(self, until: int | None = None) -> dict[str, Counter]:
        """Events of each result.

        Args:
            until: In the frames before this one; in all by default.

        Returns:
            For each name how many ``switches``, ``misses`` and ``extra`` detections there are, and
            how many identities have been seen with the wrong class (``classes``).
        """
        return {panel.name: _counts(panel, until) for panel in self._panels[1:]}

    def draw(self, frame: int, image: np.ndarray) -> np.ndarray:
        """Draw all panels of a frame, a title over each, and a caption below.

        Args:
            frame: Index of the frame.
            image: (H, W, 3) uint8, RGB, of the video's size.

        Returns:
            (H', W', 3) uint8, RGB; of the same size for all frames.
        """
        image = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
        panels = [
            np.vstack([self._title(panel, frame), self._drawn(panel, frame, image)])
            for panel in self._panels
        ]
        rows = []
        for start in range(0, len(panels), self._columns):
            row = panels[start : start + self._columns]
            row += [np.full_like(panels[0], _DARK)] * (self._columns - len(row))
            rows.append(np.hstack(row))
        return np.vstack([*rows, self._caption(frame, rows[0].shape[1])])

    def _drawn(self, panel: _Panel, frame: int, image: np.ndarray) -> np.ndarray:
        image = image.copy()
        visible = [i for i, identity in enumerate(panel.identities) if identity.masks.areas[frame]]
        masks = {i: self._mask(panel.identities[i], frame) for i in visible}
        boxes = {i: self._box(panel.identities[i], frame) for i in visible}
        grey = [i for i in visible if panel.identities[i].color is None]
        for i in grey:
            _hatch(image, masks[i], self._unit)
        # Marks first, so that they do not hide what the labels say.
        picture = Image.fromarray(image)
        marks = _Marks(picture, self._unit)
        notes = []
        for i in grey:
            identity = panel.identities[i]
            marks.box(boxes[i], _GREY)
            notes.append((boxes[i], f'#{i + 1} {identity.label} {identity.score:.2f}', _GREY))
        for i in visible:
            if panel.identities[i].is_a is not None:
                marks.ring(boxes[i], _RED)
                notes.append((boxes[i], f'is {panel.identities[i].is_a}', _RED))
        for obj in panel.events[frame].misses:
            box, color = self._box(self._truth[obj], frame), tuple(identity_colors([obj])[0])
            marks.dashed_box(box, color)
            notes.append((box, f'missed #{obj + 1}', color))
        for past in range(max(0, frame - _HELD), frame + 1):
            for _, before, now in panel.events[past].switches:
                if now in boxes:
                    marks.ring(boxes[now], _WHITE)
                    notes.append((boxes[now], f'switch #{before + 1} → #{now + 1}', _WHITE))

        coloured = [i for i in visible if i not in grey]
        identities = [panel.identities[i] for i in coloured]
        picture = Image.fromarray(
            draw_tracks(
                np.asarray(picture),
                np.array([masks[i] for i in coloured]).reshape(-1, *image.shape[:2]),
                np.array([boxes[i] for i in coloured]),
                [identity.label for identity in identities],
                None if panel.name == TRUTH else [identity.score for identity in identities],
                [i + 1 for i in coloured],
                color_ids=[identity.color for identity in identities],
                min_side=1,
            )
        )
        _write_notes(picture, notes, self._font, self._unit)
        return np.asarray(picture)

    def _mask(self, identity: _Identity, frame: int) -> np.ndarray:
        mask = mask_utils.decode(identity.masks.rles[frame])
        return cv2.resize(mask, self._size, interpolation=cv2.INTER_NEAREST).astype(bool)

    def _box(self, identity: _Identity, frame: int) -> np.ndarray:
        x, y, w, h = mask_utils.toBbox(identity.masks.rles[frame])
        scale = np.array(self._size) / (self._video['width'], self._video['height'])
        return np.array([x, y, x + w, y + h]) * np.tile(scale, 2)

    def _title(self, panel: _Panel, frame: int) -> np.ndarray:
        picture = Image.new('RGB', (self._size[0], round(24 * self._unit)), _DARK)
        draw = ImageDraw.Draw(picture)
        middle, margin = picture.height / 2, 8 * self._unit
        counts = ''
        if panel.name != TRUTH:
            numbers = _counts(panel, frame + 1)
            counts = '   '.join(f'{name} {number}' for name, number in numbers.items())
        room = self._size[0] - 3 * margin - draw.textlength(counts, font=self._font)
        name = panel.name
        while name and draw.textlength(name, font=self._font) > room:
            name = name[:-2] + '…' if len(name) > 2 else ''
        draw.text((margin, middle), name, _LIGHT, self._font, anchor='lm')
        draw.text((self._size[0] - margin, middle), counts, _LIGHT, self._font, anchor='rm')
        return np.asarray(picture)

    def _caption(self, frame: int, width: int) -> np.ndarray:
        length = len(self._panels[0].events)
        legend = (
            (f'video {self._video["id"]}, frame {frame + 1} of {length}', None),
            ('colour: object of the ground truth', None),
            ('of no object', 'hatched'),
            ('missed', 'dashed'),
            ('identity switch', 'ring'),
            ('wrong class', 'red ring'),
        )
        line, margin, side = round(22 * self._unit), 8 * self._unit, 13 * self._unit
        # Measured with the longest number, so that the caption is as high in all frames.
        widths = [
            self._font.getlength(text.replace(f'frame {frame + 1} ', f'frame {length} '))
            + (side + margin if sample else 0)
            for text, sample in legend
        ]
        places, x, y = [], margin, 0
        for item_width in widths:
            if x > margin and x + item_width > width - margin:
                x, y = margin, y + line
            places.append((x, y))
            x += item_width + 2.5 * margin
        picture = Image.new('RGB', (width, y + line), _DARK)
        for (text, sample), (x, y) in zip(legend, places, strict=True):
            if sample:
                self._sample(picture, sample, np.array([x, y + (line - side) / 2] * 2), side)
                x += side + margin
            draw = ImageDraw.Draw(picture)
            draw.text((x, y + line / 2), text, _LIGHT, self._font, anchor='lm')
        return np.asarray(picture)

    def _sample(self, picture: Image.Image, kind: str, box: np.ndarray, side: float) -> None:
        box = box + np.array([0, 0, side, side])
        if kind == 'hatched':
            image = np.asarray(picture).copy()
            left, top, right, bottom = box.round().astype(int)
            mask = np.zeros(image.shape[:2], bool)
            mask[top:bottom, left:right] = True
            _hatch(image, mask, self._unit)
            picture.paste(Image.fromarray(image))
        marks = _Marks(picture, self._unit)
        if kind in ('ring', 'red ring'):
            color = _WHITE if kind == 'ring' else _RED
            marks.ring(box + np.array([3, 3, -3, -3]) * self._unit, color)
        elif kind == 'dashed':
            marks.dashed_box(box, _GREY)
        else:
            marks.box(box, _GREY)


class _Marks:
    """Boxes on a picture, with a dark line below those that must show on any background."""

    def __init__(self, picture: Image.Image, unit: float) -> None:
        self._draw, self._unit = ImageDraw.Draw(picture), unit

    def box(self, box: np.ndarray, color: tuple) -> None:
        self._draw.rectangle(_ordered(box), outline=color, width=max(1, round(1.5 * self._unit)))

    def ring(self, box: np.ndarray, color: tuple) -> None:
        box = box + np.array([-4, -4, 4, 4]) * self._unit
        self._draw.rectangle(_ordered(box), outline=(0, 0, 0), width=round(5 * self._unit))
        box += np.array([1, 1, -1, -1]) * self._unit
        self._draw.rectangle(_ordered(box), outline=color, width=max(1, round(3 * self._unit)))

    def dashed_box(self, box: np.ndarray, color: tuple) -> None:
        x1, y1, x2, y2 = box
        corners = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2), (x1, y1)])
        step = 10 * self._unit
        for fill, width in (((0, 0, 0), 4), (color, 2)):
            for start, end in pairwise(corners):
                length = max(float(np.linalg.norm(end - start)), 1e-6)
                for at in np.arange(0, length, step):
                    shares = np.array([at, min(at + 0.6 * step, length)]) / length
                    line = [tuple(start + share * (end - start)) for share in shares]
                    self._draw.line(line, fill=fill, width=max(1, round(width * self._unit)))


def _write_notes(
    picture: Image.Image, notes: list[tuple], font: ImageFont.FreeTypeFont, unit: float
) -> None:
    """Write a text below each box, or near it where it hides no other text.

    Args:
        picture: To draw on.
        notes: Box, text, and colour of the ground.
        font: Of the texts.
        unit: Of lengths, see ``Comparison``.
    """
    draw = ImageDraw.Draw(picture)
    pad = 3 * unit
    height = sum(font.getmetrics()) + pad
    taken = []
    for box, text, color in notes:
        width = font.getlength(text) + 2 * pad
        x = min(max(box[0], 0), picture.width - width)
        below = [box[3] + 2 * pad + k * height for k in range(4)]
        inside = [box[3] - pad - k * height for k in range(1, 5)]
        rectangles = [
            (x, y, x + width, y + height)
            for y in (below[0], inside[0], *below[1:], *inside[1:])
            if 0 <= y <= picture.height - height
        ]
        free = [each for each in rectangles if not any(_meet(each, other) for other in taken)]
        bottom = picture.height - height
        rectangle = (free or rectangles or [(x, bottom, x + width, picture.height)])[0]
        taken.append(rectangle)
        draw.rectangle(_ordered(rectangle), fill=tuple(int(c) for c in color))
        dark = np.dot(color, (0.299, 0.587, 0.114)) <= 128
        at = rectangle[0] + pad, (rectangle[1] + rectangle[3]) / 2
        draw.text(at, text, _WHITE if dark else (0, 0, 0), font, anchor='lm')


def _ordered(box: Sequence[float] | np.ndarray) -> list[float]:
    x1, y1, x2, y2 = (round(float(value)) for value in box)
    return [x1, y1, max(x1, x2), max(y1, y2)]


def _meet(one: tuple, other: tuple) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _hatch(image: np.ndarray, mask: np.ndarray, unit: float) -> None:
    """Grey diagonal lines on the mask, in place."""
    y, x = np.indices(mask.shape, sparse=True)
    period = max(4, round(8 * unit))
    lines = mask & ((x + y) % period < period / 2)
    image[lines] = _GREY
    image[mask & ~lines] = image[mask & ~lines] // 2


def _counts(panel: _Panel, until: int | None = None) -> Counter:
    counts = Counter(
        {
            name: sum(len(getattr(event, name)) for event in panel.events[:until])
            for name in ('switches', 'misses', 'extra')
        }
    )
    counts['classes'] = sum(
        identity.is_a is not None and bool(identity.masks.areas[:until].any())
        for identity in panel.identities
    )
    return counts


def _by_first_frame(masks: list[TrackMasks]) -> list[int]:
    seen = [i for i, track in enumerate(masks) if track.areas.any()]
    return sorted(seen, key=lambda i: int(np.flatnonzero(masks[i].areas)[0]))


def _seen(masks: list[TrackMasks], length: int) -> np.ndarray:
    return np.array([track.areas > 0 for track in masks], bool).reshape(len(masks), length)


def _frame_iou(found: list[TrackMasks], masks: list[TrackMasks], length: int) -> np.ndarray:
    if not found or not masks:
        return np.zeros((len(found), len(masks), length))
    shared = shared_pixels(found, masks)
    total = np.stack([m.areas for m in found])[:, None] + np.stack([m.areas for m in masks])
    return shared / np.maximum(total - shared, 1)


def _one_a_mask(tracks: list[dict]) -> list[dict]:
    best = {}
    for track in tracks:
        masks = tuple(rle and rle['counts'] for rle in track['segmentations'])
        if masks not in best or track['score'] > best[masks]['score']:
            best[masks] = track
    return list(best.values())
