"""What gives frames, one after another; each kind of source has a module of its own."""

import itertools
import logging
from abc import abstractmethod
from collections.abc import Generator
from contextlib import closing
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from mmvis_cl.errors import InputError

from .read_ahead import ReadAhead

FRAMES_AHEAD = 8  # decoded frames that wait at most; one of 1920x1080 has 6 MB
BYTES_AHEAD = 1 << 29  # of the frames that wait, so that large ones do not fill the memory
IMAGES_FPS = 6.0  # of images and arrays, which have no time; that of YouTube-VIS's annotations
UNKNOWN_FPS = 25.0  # of a camera or stream that does not say

logger = logging.getLogger(__name__)


class SourceFrame(NamedTuple):
    """A frame.

    Attributes:
        index (int): its number in the source, from 0.
        time (float): seconds since the source's first frame; grows from frame to frame.
        image (ndarray): (H, W, 3) uint8, RGB, as it is meant to be seen (turned upright).
    """

    index: int
    time: float
    image: np.ndarray


class VideoSource:
    """Frames that can be iterated over; made by :func:`open_source`.

    A thread reads at most ``FRAMES_AHEAD`` frames, or ``BYTES_AHEAD`` bytes, ahead of who uses
    them. Of a live source only the newest frame waits: what comes while the user is busy is
    dropped.

    Attributes:
        name (str): for titles and file names.
        fps (float): frames a second; the mean where it varies.
        size (tuple[int, int]): h, w of every frame.
        sample_aspect_ratio (Fraction): width over height of a pixel as it is meant to be seen; the
            images have the pixels as they are stored.
        sound (str | None): the file whose sound belongs to the frames, if it may have any.
        file (str | None): the video file that the frames are of, if they are of one.
        whole_length (int | None): frames of the whole source, whatever ``start`` and ``max_frames``
            are, as far as it says.
        length (int | None): frames that will come, as far as the source says; with some containers
            an estimate. None if nobody knows.
        is_live (bool): frames come at their own pace and are gone if they are not taken.
        rereadable (bool): a second iteration gives the same frames again.
        problem (str | None): what went wrong in the newest iteration without ending it by an
            error, in one line: a file that was cut off, a stream that stopped. It is also logged as
            a warning when the iteration ends.
    """

    is_live = False
    rereadable = True
    _in_thread = True

    def __init__(self, name: str, start: int, max_frames: int | None) -> None:
        # what no encoding has cannot be printed; names of files may hold it
        self.name = name.encode('utf-8', 'replace').decode()
        self.start = start
        self.max_frames = max_frames
        self.fps = IMAGES_FPS
        self.size = (0, 0)
        self.sample_aspect_ratio = Fraction(1)
        self.sound: str | None = None
        self.file: str | None = None
        self.whole_length: int | None = None
        self.length: int | None = None
        self.problem: str | None = None

    def __enter__(self) -> 'VideoSource':
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def close(self) -> None:
        """Give back what the source holds open between iterations."""

    def __iter__(self) -> Generator[SourceFrame, None, None]:
        """The frames from ``start`` on.

        Raises:
            InputError: a frame cannot be read or has another size, or there is none from ``start``.
        """
        self.problem = None
        frames = self._checked()
        if self._in_thread:
            height, width = self.size
            ahead = ReadAhead(
                frames,
                1
                if self.is_live
                else max(1, min(FRAMES_AHEAD, BYTES_AHEAD // (3 * height * width))),
                newest=self.is_live,
            )
            with closing(ahead):
                yield from itertools.islice(ahead, self.max_frames)
        else:
            with closing(frames):
                yield from itertools.islice(frames, self.max_frames)
        if self.problem:
            logger.warning(self.problem)

    @abstractmethod
    def _read(self) -> Generator[SourceFrame, None, None]:
        """The frames from ``start`` on, with their times as they come."""

    def _where(self, index: int) -> str:
        return f'{self.name}, frame {index}'

    def _checked(self) -> Generator[SourceFrame, None, None]:
        last, index = -np.inf, -1
        with closing(self._read()) as frames:
            for index, seconds, image in frames:
                if image.shape[:2] != self.size:
                    (height, width), (h, w) = image.shape[:2], self.size
                    raise InputError(
                        f'{self._where(index)}: is {width}x{height} (width x height), the frames '
                        f'before are {w}x{h}; all frames of a video must be of one size'
                    )
                # some files repeat a time or go back; an output could not hold that
                last = max(seconds, last + 1e-3)
                yield SourceFrame(index, last, image)
        if index < 0:
            raise InputError(f'{self.name}: has no frame {self.start}, it ends before; start lower')

    def _set_length(self, length: int | None) -> None:
        """Of the whole source, from which ``start`` and ``max_frames`` are cut."""
        self.whole_length = length
        if length is not None:
            length = max(0, length - self.start)
        if self.max_frames is not None:
            length = self.max_frames if length is None else min(length, self.max_frames)
        self.length = length
