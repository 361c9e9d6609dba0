"""The tracked video for CVAT, to be corrected there: "CVAT for video 1.1"."""

import os
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from mmvis_cl.errors import InputError
from mmvis_cl.files import whole_file
from mmvis_cl.structures.frame_result import FrameResult
from mmvis_cl.structures.mask_crops import MaskCrop, mask_crops
from mmvis_cl.structures.mask_polygons import mask_polygons

from .output import Output

SHAPES = 'polygons', 'masks'
IDENTITY = 'identity'  # the attribute of a mask that says whose it is


@dataclass
class _Identity:
    """Its label when it was last seen, and the shapes of each of its pieces by their frames."""

    label: int = 0
    pieces: list[dict[int, str]] = field(default_factory=list)


class CVATOutput(Output):
    """A ``.zip`` with ``annotations.xml``, which CVAT's "Upload annotations" takes for the video.

    Polygons are tracks, with ``outside`` where the identity is not seen; see
    :func:`~mmvis_cl.structures.mask_polygons.mask_polygons` for how close they are. A mask of
    several pieces is as many tracks, which are a group.

    Masks are exact, but CVAT has no tracks of masks: of one with several frames it keeps the first,
    and its group is lost. So each mask is a track of one frame, as in CVAT's own exports, and has
    its identity as an attribute, ``identity``, which the labels of the task need as well.

    The label is the class that the identity had when it was last seen; frames are numbered as in
    the source. ``cvat_to_vis.py`` reads both back. The text of all shapes is kept until the end,
    for the file goes by tracks.

    Args:
        path: Ends in ``.zip``.
        classes: The model's class names.
        name: Of the video.
        shapes: 'polygons' or 'masks'.

    Raises:
        InputError: Nothing can be written there, or there are no such shapes.
    """

    suffix = '.zip'

    def __init__(
        self,
        path: str | os.PathLike,
        classes: Sequence[str],
        name: str,
        shapes: str = 'polygons',
    ) -> None:
        if shapes not in SHAPES:
            raise InputError(f'shapes {shapes!r}: are none of CVAT; give polygons or masks')
        super().__init__(path)
        self.classes = classes
        self.name = name
        self.shapes = shapes
        self._size = 0, 0
        self._first, self._last = 0, -1
        self._identities: dict[int, _Identity] = {}

    def _write(self, frame: FrameResult) -> None:
        self._size = frame.image.shape[0], frame.image.shape[1]
        if self._last < 0:
            self._first = frame.index
        self._last = frame.index
        for number, label, crop in zip(
            frame.identities.tolist(),
            frame.labels.tolist(),
            mask_crops(frame.rles, self._size),
            strict=True,
        ):
            if not crop.area:
                continue
            identity = self._identities.setdefault(number, _Identity())
            identity.label = label
            shapes = [_rle(crop)] if self.shapes == 'masks' else _polygons(crop)
            for place, shape in enumerate(shapes):
                if place == len(identity.pieces):
                    identity.pieces.append({})
                identity.pieces[place][frame.index] = shape

    def _finish(self) -> None:
        with (
            whole_file(self.path, 'wb') as file,
            zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as archive,
            archive.open('annotations.xml', 'w', force_zip64=True) as xml,
        ):
            for text in self._xml():
                xml.write(text.encode())

    def _xml(self) -> Iterator[str]:
        yield '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n'
        yield self._meta()
        track = 0
        for group, (number, identity) in enumerate(self._identities.items(), 1):
            label = quoteattr(_printable(self.classes[identity.label]))
            # a group of one would only be in the way of who splits a track
            grouped = f' group_id="{group}"' if len(identity.pieces) > 1 else ''
            for shapes in self._tracks(number, identity):
                yield f'<track id="{track}" label={label}{grouped} source="auto">\n'
                yield from shapes
                yield '</track>\n'
                track += 1
        yield '</annotations>\n'

    def _meta(self) -> str:
        attribute = (
            f'<attributes><attribute><name>{IDENTITY}</name><mutable>True</mutable>'
            '<input_type>text</input_type><default_value></default_value><values></values>'
            '</attribute></attributes>'
        )
        if self.shapes != 'masks':
            attribute = '<attributes></attributes>'
        labels = ''.join(
            f'<label><name>{_escaped(name)}</name>{attribute}</label>\n' for name in self.classes
        )
        (height, width), name = self._size, _escaped(self.name)
        last = max(self._first, self._last)
        return (
            f'<meta><task><id>1</id><name>{name}</name><size>{last - self._first + 1}</size>'
            '<mode>interpolation</mode><overlap>0</overlap><bugtracker></bugtracker>'
            f'<start_frame>{self._first}</start_frame><stop_frame>{last}</stop_frame>'
            f'<frame_filter></frame_filter><labels>\n{labels}</labels>'
            f'<original_size><width>{width}</width><height>{height}</height></original_size>'
            f'<source>{name}</source></task></meta>\n'
        )

    def _tracks(self, number: int, identity: _Identity) -> Iterator[Iterator[str]]:
        """The shapes of each track of an identity."""
        if self.shapes == 'masks':
            text = f'><attribute name="{IDENTITY}">{number}</attribute></mask>\n'
            for frame, shape in identity.pieces[0].items():
                yield iter([f'<mask {_seen(frame)} {shape}{text}'])
        else:
            for piece in identity.pieces:
                yield self._polygon_track(piece)

    def _polygon_track(self, piece: dict[int, str]) -> Iterator[str]:
        """A shape for each frame of a piece, and one that is outside where it goes."""
        for frame, shape in piece.items():
            yield f'<polygon {_seen(frame)} {shape}></polygon>\n'
            if frame + 1 not in piece and frame < self._last:
                yield f'<polygon {_seen(frame + 1, outside=1)} {shape}></polygon>\n'

    def _clean_up(self) -> None:
        self._identities.clear()


def _seen(frame: int, outside: int = 0) -> str:
    return f'frame="{frame}" keyframe="1" outside="{outside}" occluded="0" z_order="0"'


def _rle(crop: MaskCrop) -> str:
    """CVAT's RLE goes row by row over the box of the mask, and starts with background."""
    pixels = crop.mask.ravel()
    ends = np.flatnonzero(np.diff(pixels)) + 1
    runs = np.diff(np.concatenate(([0], ends, [len(pixels)]))).tolist()
    runs = [0, *runs] if pixels[0] else runs
    h, w = crop.mask.shape
    return (
        f'rle="{", ".join(map(str, runs))}" left="{crop.left}" top="{crop.top}" width="{w}" '
        f'height="{h}"'
    )


def _polygons(crop: MaskCrop) -> list[str]:
    return [
        'points="' + ';'.join(f'{x},{y}' for x, y in polygon.tolist()) + '"'
        for polygon in mask_polygons(crop)
    ]


def _escaped(text: str) -> str:
    """As the text of an element."""
    return escape(_printable(text), {'\r': '&#13;'})


def _printable(text: str) -> str:
    """Without what XML has no way to write."""
    return ''.join(
        c
        for c in text
        if c in '\t\n\r' or ' ' <= c <= '\ud7ff' or '\ue000' <= c not in '\ufffe\uffff'
    )
