"""Where frames come from: video files, images, cameras, streams, arrays.

``open_source`` finds out which; all give the same :class:`SourceFrame` in the same way.
"""

import glob
import os
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from mmvis_cl.errors import InputError, quoted

from .array_source import Arrays
from .camera import Camera
from .frame_source import FRAMES_AHEAD, SourceFrame, VideoSource
from .image_files import (
    IMAGE_SUFFIXES,
    entries_in,
    images_in,
    kind_of_path,
    natural_order,
    open_image,
    pages_of,
    read_image,
)
from .image_source import ImageFiles, PagedImage
from .video_file import VideoFile

__all__ = [
    'FRAMES_AHEAD',
    'IMAGE_SUFFIXES',
    'SourceFrame',
    'VideoSource',
    'natural_order',
    'open_source',
    'read_image',
]


def open_source(
    source: str | os.PathLike | int | Iterable[np.ndarray],
    start: int = 0,
    max_frames: int | None = None,
) -> VideoSource:
    """Open anything that gives frames.

    Args:
        source: Path of a video file, of a folder of images, or of one image, whose frames or pages
            are the video if it has several; a pattern such as ``'frames/*.jpg'``; the number of a
            camera (0 or ``'0'``) if no file or folder has this name; an RTSP, HTTP or other URL
            that FFmpeg reads; or arrays, (H, W, 3) uint8 RGB, (H, W) grey or (H, W, 4) RGBA.
            Images come in natural order (frame2 before frame10).
        start: Number of the first frame wanted; those before are read, but not given.
        max_frames: Most frames given.

    Returns:
        VideoSource: use it in a ``with`` block.

    Raises:
        InputError: The source is missing, cannot be read or has no frame.
    """
    if start < 0:
        raise InputError(f'start={start}: the number of a frame is at least 0')
    if max_frames is not None and max_frames < 1:
        raise InputError(f'max_frames={max_frames}: at least 1 is needed')
    if isinstance(source, (str, os.PathLike)):
        text = os.fspath(source)
        kind = kind_of_path(text)
        camera = re.fullmatch(r'(?:/dev/video)?([0-9]{1,9})', text, re.ASCII)
        if camera and kind in ('', 'device'):  # what has the name of a number is no camera
            return Camera(int(camera[1]), start, max_frames)
        path = Path(text)
        if kind == 'folder':
            return ImageFiles(_images_in(path), path.resolve().name, start, max_frames)
        if kind == 'file':
            if path.suffix.lower() in (*IMAGE_SUFFIXES, '.gif', '.apng', '.avif'):
                with open_image(path, text) as image:
                    pages = len(pages_of(image))
                if pages > 1:
                    return PagedImage(path, start, max_frames)
                return ImageFiles([path], path.stem, start, max_frames)
            return VideoFile(text, start, max_frames)
        if kind:
            raise InputError(f'{text}: is a {kind}, which is not read; write the video to a file')
        if '://' in text:
            return VideoFile(text, start, max_frames, url=True)
        if glob.has_magic(text):
            files = _images_of_pattern(text)
            return ImageFiles(files, files[0].resolve().parent.name, start, max_frames)
        shown = text if text.isprintable() else quoted(text)
        raise InputError(
            f'{shown}: there is no such file or folder; give a video, a folder of images, a '
            "pattern such as 'frames/*.jpg', the number of a camera or a URL"
        )
    if isinstance(source, int):
        return Camera(source, start, max_frames)
    if isinstance(source, Iterable):
        return Arrays(source, start, max_frames)
    raise InputError(
        f'a {type(source).__name__} is no source of frames; give a path, a URL, the number of a '
        'camera or an iterable of arrays'
    )


def _images_in(folder: Path) -> list[Path]:
    files = images_in(folder)
    if not files:
        below = [path.name for path in entries_in(folder) if os.path.isdir(path)]
        raise InputError(
            f'{folder}: has no images ({", ".join(IMAGE_SUFFIXES)})'
            + (f'; give one of the folders in it, such as {below[0]}' if below else '')
        )
    return files


def _images_of_pattern(pattern: str) -> list[Path]:
    try:
        files = [Path(name) for name in glob.glob(pattern, recursive=True)]
    except (OSError, re.error, ValueError) as error:
        raise InputError(f'{quoted(pattern)}: is no pattern ({error}); correct it') from error
    images = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        raise InputError(f'{pattern}: no file matches; check the folder and the quotes')
    if len(images) < len(files):
        other = sorted(set(files) - set(images))[0]
        raise InputError(
            f'{pattern}: matches {other}, which is no image; a pattern must match the images of '
            'one video only, and a video file is given by its own path'
        )
    return sorted(images, key=lambda path: (path.parent.as_posix(), natural_order(path)))
