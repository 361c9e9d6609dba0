"""The tracked video for CVAT, to be corrected there: "CVAT for video 1.1"."""

import os
import zipfile
from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

import cv2
import numpy as np

from mmvis_cl.errors import InputError
from mmvis_cl.files import whole_file
from mmvis_cl.structures.frame_result import FrameResult
from mmvis_cl.structures.mask_crops import MaskCrop, mask_crops

from .output import Output

SHAPES = 'masks', 'polygons'
TOLERANCE = 0.5  # pixels that a polygon may be off its mask's border


class CVATOutput(Output):
    """A ``.zip`` with ``annotations.xml``, which CVAT's "Upload annotations" takes for the video.

    CVAT has no tracks of masks: it keeps the first mask of one. As in its own exports, each mask is
    a track of one frame, and those of an identity are a group; that is exact. Polygons are tracks,
    with ``outside`` where the identity is not seen: a polygon for each piece of a mask, the pieces
    of an identity in one group, holes filled, at most half a pixel off. The label is the class that
    the identity had when it was last seen. ``cvat_to_vis.py`` reads both back. RLE of all frames
    are kept until the end, for the file goes by tracks.

    Args:
        path: Ends in ``.zip``.
        classes: The model's class names.
        name: Of the video.
        shapes: 'masks' or 'polygons'.

    Raises:
        InputError: Nothing can be written there, or there are no such shapes.
    """

    suffix = '.zip'

    def __init__(
        self,
        path: str | os.PathLike,
        classes: Sequence[str],
        name: str,
        shapes: str = 'masks',
    ) -> None:
        if shapes not in SHAPES:
            raise InputError(f'shapes {shapes!r}: are none of CVAT; give masks or polygons')
        super().__init__(path)
        self.classes = classes
        self.name = name
        self.shapes = shapes
        self._size = 0, 0
        self._frames: list[int] = []
        self._labels: dict[int, int] = {}
        self._masks: dict[int, list[tuple[int, dict]]] = {}

    def _write(self, frame: FrameResult) -> None:
        self._size = frame.image.shape[0], frame.image.shape[1]
        self._frames.append(frame.index)
        for identity, label, rle in zip(
            frame.identities.tolist(), frame.labels.tolist(), frame.rles, strict=True
        ):
            self._labels[identity] = label
            self._masks.setdefault(identity, []).append((frame.index, rle))

    def _finish(self) -> None:
        with (
            whole_file(self.path, 'wb') as file,
            zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as archive,
            archive.open('annotations.xml', 'w') as xml,
        ):
            for text in self._xml():
                xml.write(text.encode())

    def _xml(self) -> Sequence[str]:
        lines = ['<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n']
        lines.append(self._meta())
        number = 0
        for group, (identity, masks) in enumerate(self._masks.items(), 1):
            label = quoteattr(_printable(self.classes[self._labels[identity]]))
            for shapes in self._tracks(masks):
                lines.append(
                    f'<track id="{number}" label={label} group_id="{group}" source="auto">\n'
                    + ''.join(shapes)
                    + '</track>\n'
                )
                number += 1
        return [*lines, '</annotations>\n']

    def _meta(self) -> str:
        first, last = (self._frames[0], self._frames[-1]) if self._frames else (0, 0)
        labels = ''.join(
            f'<label><name>{escape(_printable(name))}</name></label>' for name in self.classes
        )
        height, width = self._size
        return (
            f'<meta><task><id>1</id><name>{escape(_printable(self.name))}</name>'
            f'<size>{last - first + 1}</size><mode>interpolation</mode>'
            f'<start_frame>{first}</start_frame><stop_frame>{last}</stop_frame>'
            f'<frame_filter></frame_filter><labels>{labels}</labels>'
            f'<original_size><width>{width}</width><height>{height}</height></original_size>'
            f'<source>{escape(_printable(self.name))}</source></task></meta>\n'
        )

    def _tracks(self, masks: list[tuple[int, dict]]) -> list[list[str]]:
        """The shapes of each track of an identity."""
        crops = mask_crops([rle for _, rle in masks], self._size)
        seen = [(frame, crop) for (frame, _), crop in zip(masks, crops, strict=True) if crop.area]
        if self.shapes == 'masks':
            return [[_mask(frame, crop)] for frame, crop in seen]
        pieces: list[dict[int, str]] = []
        for frame, crop in seen:
            for place, points in enumerate(polygons_of(crop)):
                if place == len(pieces):
                    pieces.append({})
                pieces[place][frame] = points
        return [list(self._polygons(piece)) for piece in pieces]

    def _polygons(self, piece: dict[int, str]) -> Sequence[str]:
        """A shape for each frame of a piece, and one that is outside where it goes."""
        shapes = []
        for frame, points in piece.items():
            shapes.append(_polygon(frame, points, outside=False))
            if frame + 1 not in piece and frame < self._frames[-1]:
                shapes.append(_polygon(frame + 1, points, outside=True))
        return shapes

    def _clean_up(self) -> None:
        self._masks.clear()


def _mask(frame: int, crop: MaskCrop) -> str:
    """CVAT's RLE goes row by row over the box of the mask, and starts with background."""
    pixels = crop.mask.ravel()
    ends = np.flatnonzero(np.diff(pixels)) + 1
    runs = np.diff(np.concatenate(([0], ends, [len(pixels)]))).tolist()
    runs = [0, *runs] if pixels[0] else runs
    h, w = crop.mask.shape
    return (
        f'<mask frame="{frame}" keyframe="1" outside="0" occluded="0" '
        f'rle="{", ".join(map(str, runs))}" left="{crop.left}" top="{crop.top}" width="{w}" '
        f'height="{h}" z_order="0"></mask>\n'
    )


def _polygon(frame: int, points: str, outside: bool) -> str:
    return (
        f'<polygon frame="{frame}" keyframe="1" outside="{int(outside)}" occluded="0" '
        f'points="{points}" z_order="0"></polygon>\n'
    )


def polygons_of(crop: MaskCrop) -> list[str]:
    """The outlines of a mask's pieces, the largest first, as ``x,y;x,y``; holes are filled.

    They go around the pixels, not through their centres, so that they enclose as much.
    """
    # four times as fine, so that a border lies between pixels
    fine = np.kron(np.pad(crop.mask, 1), np.ones((4, 4), np.uint8))
    outlines, _ = cv2.findContours(fine, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    found = []
    for outline in sorted(outlines, key=cv2.contourArea, reverse=True):
        outline = cv2.approxPolyDP(outline, 4 * TOLERANCE, True)[:, 0]
        if len(outline) >= 3:
            # a pixel of the fine mask has its centre at its number and a half
            points = (outline + 0.5) / 4 - 1 + (crop.left, crop.top)
            found.append(';'.join(f'{x:.2f},{y:.2f}' for x, y in points))
    return found


def _printable(text: str) -> str:
    """Without what XML has no way to write."""
    return ''.join(c for c in text if c in '\t\n\r' or ' ' <= c <= '\ud7ff' or c > '\ud7ff')
