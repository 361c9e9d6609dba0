"""Arrays that the user has or makes as a source."""

import itertools
from collections.abc import Generator, Iterable

import numpy as np
from PIL import Image

from mmvis_cl.errors import InputError, quoted

from .frame_source import SourceFrame, VideoSource
from .image_files import to_rgb


class Arrays(VideoSource):
    """Arrays in an iterable."""

    _in_thread = False  # there is nothing to decode, and a generator may mind another thread

    def __init__(self, arrays: Iterable[np.ndarray], start: int, max_frames: int | None) -> None:
        super().__init__('frames', start, max_frames)
        _check_stack(arrays)
        iterator = iter(arrays)
        self.rereadable = iterator is not arrays
        none = object()
        first = next(iterator, none)
        if first is none:
            raise InputError('frames: the iterable is empty, a video has at least one frame')
        self.size = array_to_rgb(first, 'frames, frame 0').shape[:2]
        self._arrays = arrays if self.rereadable else itertools.chain([first], arrays)
        self._set_length(len(arrays) if hasattr(arrays, '__len__') else None)

    def _read(self) -> Generator[SourceFrame, None, None]:
        for index, array in enumerate(self._arrays):
            if index >= self.start:
                image = array_to_rgb(array, f'frames, frame {index}')
                yield SourceFrame(index, index / self.fps, image)


def array_to_rgb(array: np.ndarray | Image.Image, where: str) -> np.ndarray:
    """A frame that the user gives.

    Args:
        array: (H, W, 3) RGB, (H, W, 4) RGBA, of which alpha is left out, (H, W) or (H, W, 1) grey,
            uint8; or an image of Pillow.
        where: For the message.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        InputError: It is anything else.
    """
    if isinstance(array, Image.Image):
        return to_rgb(array, where)
    if isinstance(array, (str, bytes)):
        raise InputError(
            f'{where}: is a text, {quoted(array)}; give paths one by one, each as a source, '
            'or the images of a video as a folder or pattern'
        )
    try:
        array = np.asarray(array)
    except (TypeError, ValueError, RuntimeError) as error:  # as of a tensor on a GPU
        raise InputError(f'{where}: {error}; give NumPy arrays') from error
    shape = f'{array.shape} {array.dtype}'
    if array.dtype == object or array.ndim < 2:
        raise InputError(
            f'{where}: is no picture but {shape}; give (H, W, 3) uint8, RGB, and one picture as a '
            'list of one'
        )
    if array.dtype != np.uint8:
        scale = ' (times 255 if they go from 0 to 1)' if array.dtype.kind == 'f' else ''
        raise InputError(
            f'{where}: an array must be (H, W, 3) uint8, RGB; this one is {shape}: bring its '
            f'values to 0 to 255{scale} and use .astype(np.uint8)'
        )
    if array.ndim == 2:
        array = array[..., None]
        if array.shape[1] in (3, 4):
            raise InputError(
                f'{where}: is {shape}, a row of a picture and not a picture; one picture is a '
                'video of one frame: put it into a list'
            )
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] not in (1, 3, 4):
        raise InputError(
            f'{where}: an array must be (H, W, 3) uint8, RGB; this one is {shape}, with its '
            'channels first; use .transpose(1, 2, 0) on each frame'
        )
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise InputError(
            f'{where}: an array must be (H, W, 3) uint8, RGB; this one is {shape}; give one such '
            'array a frame'
        )
    if array.shape[2] == 1:
        return np.repeat(array, 3, axis=2)
    return np.ascontiguousarray(array[..., :3])


def _check_stack(arrays: Iterable[np.ndarray]) -> None:
    """Refuse one picture, whose rows would be taken for frames."""
    shape = getattr(arrays, 'shape', None)
    if shape is None or len(shape) > 3 or (len(shape) == 3 and shape[2] not in (1, 3, 4)):
        return
    raise InputError(
        f'frames: one array of the shape {tuple(shape)} is one picture, not a video; put it into a '
        'list, [image], to track it as a video of one frame'
    )
