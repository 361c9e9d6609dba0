"""Limits on what is read, so that a broken or hostile file cannot take all memory or time.

Each can be raised by an environment variable of its name with ``MMVIS_CL_`` in front, for instance
``MMVIS_CL_MAX_FRAME_PIXELS=500000000``. Messages about a limit name that variable. Write
``limits.MAX_FRAME_PIXELS``: the value is looked up when it is needed, so that a wrong variable is
an error of the command and not of an import.
"""

import os

from mmvis_cl.errors import InputError, quoted

_DEFAULTS = dict(
    # Of a frame: 16384 x 16384. pycocotools cannot read all masks of 2**29 pixels or more.
    MAX_FRAME_PIXELS=1 << 28,
    # Of a video: four days at 30 frames a second.
    MAX_VIDEO_FRAMES=10_000_000,
    # Of all outlines of a mask given as polygons; pycocotools needs 0.1 s and 100 MB for so many.
    MAX_OUTLINE_PIXELS=1_000_000,
    # Of a JSON file, also inside a zip. What is made of it needs about three times the memory.
    MAX_JSON_BYTES=1 << 34,
    # Of what is inflated from a zip; a bomb of 2 MB could ask for that much, a limit on the file
    # as it lies there would not see it.
    MAX_UNZIPPED_BYTES=1 << 31,
    # Of a table or list in plain text (.csv, .txt), which is read as a whole.
    MAX_TABLE_BYTES=1 << 26,
    # Of an XML file of CVAT. What is made of it needs about ten times the memory.
    MAX_XML_BYTES=1 << 30,
)
_ENDS = dict(MAX_FRAME_PIXELS=2**29 - 1)


def names() -> tuple[str, ...]:
    """All limits, as ``MAX_FRAME_PIXELS``."""
    return tuple(_DEFAULTS)


def __getattr__(name: str) -> int:
    if name not in _DEFAULTS:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    text = os.environ.get(f'MMVIS_CL_{name}')
    if text is None:
        return _DEFAULTS[name]
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:19]) < 2**62):
        raise InputError(
            f'MMVIS_CL_{name}={quoted(text)}: is no whole number above 0; give one or unset it'
        )
    return min(int(text), _ENDS.get(name, 2**62))
