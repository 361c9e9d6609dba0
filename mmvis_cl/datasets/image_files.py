"""Image files: which files of a folder they are, and their pixels, the same for all who read them.

Tracking, training, testing, checking, converting and drawing read images here and nowhere else.
"""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from mmvis_cl import limits
from mmvis_cl.errors import InputError, shortened

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff', '.ppm', '.pgm')
# Formats whose images of a file follow each other; in others they are previews, sizes or layers.
SEQUENCES = ('AVIF', 'GIF', 'PNG', 'TIFF', 'WEBP')
ORIENTATION = 0x0112  # in EXIF
BITS_PER_SAMPLE, SUBFILE_TYPE = 258, 254  # in TIFF
REDUCED, TRANSPARENCY = 1, 4  # subfile types that are no page: a preview, a mask


def natural_order(path: Path) -> tuple:
    """Sort key by which frame2 comes before frame10."""
    parts = re.split('([0-9]+)', path.name.lower())
    return tuple(int(part) if i % 2 else part for i, part in enumerate(parts)), path.as_posix()


def entries_in(folder: Path) -> list[Path]:
    """Files and folders in a folder, in natural order, without what other programs hide in it.

    Left out is what begins with a dot, as ``._00000.jpg`` of macOS and ``.ipynb_checkpoints``, and
    ``__MACOSX``, which is in zips from there.

    Raises:
        InputError: The folder cannot be read.
    """
    try:
        paths = [
            path
            for path in folder.iterdir()
            if not path.name.startswith('.') and path.name != '__MACOSX'
        ]
    except OSError as error:
        raise InputError(
            f'{folder}: the folder cannot be read ({error.strerror}); correct the path or its '
            'permissions'
        ) from error
    return sorted(paths, key=natural_order)


def images_in(folder: Path) -> list[Path]:
    """The images of a folder, by their suffixes, in natural order; see :func:`entries_in`.

    A link to nothing is among them: that a frame is missing must show.
    """
    return [
        path
        for path in entries_in(folder)
        if path.suffix.lower() in IMAGE_SUFFIXES and not os.path.isdir(path)
    ]


def kind_of_path(path: str | os.PathLike) -> str:
    """What a path leads to, without opening it: opening a pipe may wait for ever.

    Returns:
        'file', 'folder', 'pipe', 'device' or 'socket'; '' if nothing is there.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # ValueError: no file can have this name
        return ''
    kinds = dict(file=stat.S_ISREG, folder=stat.S_ISDIR, pipe=stat.S_ISFIFO, socket=stat.S_ISSOCK)
    return next((kind for kind, holds in kinds.items() if holds(mode)), 'device')


def read_image(path: str | os.PathLike) -> np.ndarray:
    """An image as one sees it.

    It is turned as EXIF says, as the release does, and as the tools do in which masks are drawn.
    Grey, palette and CMYK become RGB. Alpha is left out, also of grey with alpha, where mmcv's
    reader would put a colour behind: what the camera saw counts, not how a page would show it. Of
    more than 8 bits a channel the upper 8 are taken.

    Args:
        path: Of the file.

    Returns:
        ndarray: (H, W, 3) uint8, RGB.

    Raises:
        InputError: The file is missing, none, cannot be decoded, has more pixels than
            ``limits.MAX_FRAME_PIXELS``, holds several images, or its pixels are floating-point
            numbers or have 32 bits, so that nobody knows which of them are white.
    """
    check_image_path(path, str(path))
    return decode_image(path, str(path))


def check_image_path(path: str | os.PathLike, where: str) -> None:
    """Refuse, before it is opened, what is no file.

    Args:
        path: Of the image.
        where: For the message.

    Raises:
        InputError: It is a folder, pipe or device, or nothing is there.
    """
    kind = kind_of_path(path)
    if not kind:
        raise InputError(
            f'{where}: the image is missing; check data_root and data_prefix, or put the file there'
        )
    if kind != 'file':
        raise InputError(f'{where}: is a {kind}, not an image; put an image file there')


def decode_image(file: str | os.PathLike | BinaryIO, where: str) -> np.ndarray:
    """See :func:`read_image`; of a file that is open, or one that is known to be a file."""
    with open_image(file, where) as image:
        check_alone(image, where)
        return to_rgb(image, where)


def image_size(path: str | os.PathLike, where: str) -> tuple[int, int]:
    """Height and width of what :func:`read_image` gives, from the header alone.

    Raises:
        InputError: As far as the header tells, see :func:`read_image`.
    """
    check_image_path(path, where)
    with open_image(path, where) as image:
        check_alone(image, where)
        _check_pixels(image, where)
        width, height = image.size
        # A PNG's EXIF may lie behind its pixels, and to ask for it would decode them. Of a TIFF
        # Pillow gives the size as it is when turned.
        told = image.format != 'TIFF' and (image.format != 'PNG' or 'exif' in image.info)
        turned = told and image.getexif().get(ORIENTATION) in (5, 6, 7, 8)
    return (width, height) if turned else (height, width)


@contextmanager
def open_image(file: str | os.PathLike | BinaryIO, where: str) -> Iterator[Image.Image]:
    """An image of which the header is read; all that goes wrong in the block is an InputError.

    Args:
        file: Path, or file that is open.
        where: For the messages.

    Raises:
        InputError: It cannot be decoded or is too large.
    """
    limit = limits.MAX_FRAME_PIXELS
    if Image.MAX_IMAGE_PIXELS is not None:
        # Pillow warns from here on, and refuses twice as many by a line without a remedy
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, limit)
    try:
        with Image.open(file) as image:
            if image.format == 'EPS':
                raise InputError(
                    f'{where}: is a drawing (EPS), which would have to be run; save it as a PNG'
                )
            _check_pixel_count(image, where)
            yield image
    except (InputError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(where, 'it') from error
    # Of a broken file Pillow raises OSError or SyntaxError, and what else its plugins happen to.
    except Exception as error:
        reason = shortened(getattr(error, 'strerror', None) or error or type(error).__name__)
        raise InputError(
            f'{where}: the image cannot be decoded ({reason}); replace or remove the file'
        ) from error


def pages_of(image: Image.Image) -> list[int]:
    """Numbers of the images of a file that follow each other: frames or pages, no previews."""
    count = getattr(image, 'n_frames', 1)
    if count == 1 or image.format not in SEQUENCES:
        return [0]
    if image.format != 'TIFF':
        return list(range(count))
    pages = []
    for number in range(count):
        image.seek(number)
        if not image.tag_v2.get(SUBFILE_TYPE, 0) & (REDUCED | TRANSPARENCY):
            pages.append(number)
    image.seek(0)
    return pages or [0]


def check_alone(image: Image.Image, where: str) -> None:
    """Refuse an animation, or pages, where one frame is wanted: all but the first would be lost.

    Raises:
        InputError: The file holds several images.
    """
    count = len(pages_of(image))
    if count > 1:
        raise InputError(
            f'{where}: holds {count} images (frames or pages), but stands where one frame is '
            'wanted; save each as a file of its own, or give this file alone to track it as a video'
        )


def to_rgb(image: Image.Image, where: str) -> np.ndarray:
    """The pixels of an open image, see :func:`read_image`."""
    _check_pixel_count(image, where)  # a page may be larger than the first
    _check_pixels(image, where)
    bits = getattr(image, 'tag_v2', {}).get(BITS_PER_SAMPLE, (16,))[0]
    if image.mode == 'P':
        image.info.pop('transparency', None)  # which is left out; Pillow would warn
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith('I'):  # Pillow's own conversion would cut off at 255
        high = np.asarray(image).astype(np.int32) >> (bits - 8)
        return np.repeat(np.clip(high, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode in ('La', 'RGBa'):
        image = image.convert(image.mode.upper())
    return np.array(image.convert('RGB'))


def _check_pixel_count(image: Image.Image, where: str) -> None:
    width, height = image.size
    if width * height > limits.MAX_FRAME_PIXELS:
        raise _too_large(where, f'{width}x{height} (width x height)')


def _too_large(where: str, what: str) -> InputError:
    return InputError(
        f'{where}: {what} is more than {limits.MAX_FRAME_PIXELS} pixels; give a smaller image, or '
        'raise the environment variable MMVIS_CL_MAX_FRAME_PIXELS'
    )


def _check_pixels(image: Image.Image, where: str) -> None:
    if image.mode == 'F' or (image.mode == 'I' and image.format == 'TIFF'):
        kind = 'floating-point' if image.mode == 'F' else '32-bit or signed'
        raise InputError(
            f'{where}: has {kind} pixels, whose range nobody knows; save it with 8 or 16 bits'
        )
