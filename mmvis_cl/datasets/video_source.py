"""Where frames come from: video files, images, cameras, streams, arrays.

``open_source`` finds out which; all give the same :class:`SourceFrame` in the same way.
"""

import glob
import itertools
import logging
import os
import re
import time
from abc import abstractmethod
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
from PIL import Image, ImageOps

from mmvis_cl.errors import InputError

from .read_ahead import ReadAhead

FRAMES_AHEAD = 8  # decoded frames that wait at most; one of 1920x1080 has 6 MB
IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff', '.ppm', '.pgm')
IMAGES_FPS = 6.0  # of images and arrays, which have no time; that of YouTube-VIS's annotations
UNKNOWN_FPS = 25.0  # of a camera or stream that does not say
NETWORK_TIMEOUT = 10.0  # seconds without an answer until a stream counts as broken
LIVE_PROTOCOLS = ('rtsp', 'rtsps', 'rtmp', 'rtmps', 'rtp', 'udp', 'tcp', 'srt', 'mms')

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

    A thread reads at most ``FRAMES_AHEAD`` frames ahead of who uses them. Of a live source only the
    newest frame waits: what comes while the user is busy is dropped.

    Attributes:
        name (str): for titles and file names.
        fps (float): frames a second; the mean where it varies.
        size (tuple[int, int]): h, w of every frame.
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
        self.name = name
        self.start = start
        self.max_frames = max_frames
        self.fps = IMAGES_FPS
        self.size = (0, 0)
        self.length: int | None = None
        self.problem: str | None = None

    def __enter__(self) -> 'VideoSource':
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def close(self) -> None:
        """Give back what the source holds open between iterations."""

    def __iter__(self) -> Iterator[SourceFrame]:
        """The frames from ``start`` on.

        Raises:
            InputError: a frame cannot be read or has another size, or there is none from ``start``.
        """
        self.problem = None
        frames = self._checked()
        if self._in_thread:
            ahead = ReadAhead(frames, 1 if self.is_live else FRAMES_AHEAD, newest=self.is_live)
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
        if length is not None:
            length = max(0, length - self.start)
        if self.max_frames is not None:
            length = self.max_frames if length is None else min(length, self.max_frames)
        self.length = length


def open_source(
    source: str | os.PathLike | int | Iterable[np.ndarray],
    start: int = 0,
    max_frames: int | None = None,
) -> VideoSource:
    """Open anything that gives frames.

    Args:
        source: Path of a video file, of a folder of images, or of one image; a pattern such as
            ``'frames/*.jpg'``; the number of a camera (0 or ``'0'``); an RTSP, HTTP or other URL
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
        camera = re.fullmatch(r'(?:/dev/video)?([0-9]+)', text)
        if camera and not os.path.isfile(text):
            return _Camera(int(camera[1]), start, max_frames)
        if '://' in text:
            return _Container(text, start, max_frames, url=True)
        path = Path(text)
        if path.is_dir():
            return _Images(_images_in(path), path.resolve().name, start, max_frames)
        if path.is_file():
            if path.suffix.lower() in IMAGE_SUFFIXES:
                return _Images([path], path.stem, start, max_frames)
            return _Container(text, start, max_frames)
        if glob.has_magic(text):
            files = _images_of_pattern(text)
            return _Images(files, files[0].resolve().parent.name, start, max_frames)
        raise InputError(
            f'{text}: there is no such file or folder; give a video, a folder of images, a pattern '
            "such as 'frames/*.jpg', the number of a camera or a URL"
        )
    if isinstance(source, int):
        return _Camera(source, start, max_frames)
    if isinstance(source, Iterable):
        return _Arrays(source, start, max_frames)
    raise InputError(
        f'a {type(source).__name__} is no source of frames; give a path, a URL, the number of a '
        'camera or an iterable of arrays'
    )


class _Container(VideoSource):
    """A file or stream that FFmpeg's libraries read."""

    def __init__(self, path: str, start: int, max_frames: int | None, url: bool = False) -> None:
        address = path.split('?')[0].rstrip('/')
        name = (address.split('/')[-1] or address) if url else path
        super().__init__(Path(name).stem, start, max_frames)
        self._path = path
        self._url = url
        container = self._open()
        stream = container.streams.video[0]
        scheme = path.split('://')[0].lower() if url else ''
        self.is_live = scheme in LIVE_PROTOCOLS or (
            scheme in ('http', 'https') and container.duration is None
        )
        self.rereadable = not self.is_live
        rate = stream.average_rate or stream.guessed_rate
        self.fps = float(rate) if rate and rate <= 1000 else UNKNOWN_FPS
        seconds = _duration(container, stream)
        length = stream.frames or (round(seconds * self.fps) if seconds else None)
        self._set_length(None if self.is_live else length)

        self._turn = None
        frames = self._decode(container)
        first = next(frames, None)
        if first is None:
            raise InputError(
                f'{path}: has no frame that can be decoded: nothing was recorded, or it was cut '
                'off when it was written or copied; use another file or copy it again'
            )
        self._turn = _display_matrix(first)
        self.size = self._to_rgb(first).shape[:2]
        self._pending = None
        if self.is_live:  # opening it again would lose what has come
            self._pending = first, frames
        else:
            frames.close()

    def close(self) -> None:
        """Close the stream."""
        if self._pending is not None:
            self._pending[1].close()
            self._pending = None

    def _open(self) -> av.container.InputContainer:
        options = {'rtsp_transport': 'tcp'} if self._path.lower().startswith('rtsp') else {}
        try:
            container = av.open(
                self._path, options=options, timeout=NETWORK_TIMEOUT if self._url else None
            )
        except (av.FFmpegError, OSError) as error:
            reason = getattr(error, 'strerror', None) or error
            raise InputError(
                f'{self._path}: '
                + (
                    f'the stream cannot be opened ({reason}); check the address and whether it is '
                    'being sent'
                    if self._url
                    else f'cannot be read as a video ({reason}): it is none, or was cut off when '
                    'it was written or copied; copy it again or use another file'
                )
            ) from error
        problem = None
        if not container.streams.video:
            kinds = sorted({stream.type for stream in container.streams}) or ['nothing']
            problem = f'has no video in it, only {", ".join(kinds)}'
        elif container.streams.video[0].codec_context is None:
            problem = 'no decoder for its video is known; convert it, for instance to H.264'
        if problem:
            container.close()
            raise InputError(f'{self._path}: {problem}')
        return container

    def _decode(
        self, container: av.container.InputContainer
    ) -> Generator[av.VideoFrame, None, None]:
        """All frames; what is broken is left out and noted in ``problem``."""
        with container:
            stream = container.streams.video[0]
            frames = broken = 0
            end, stopped = None, None
            packets = container.demux(stream)
            while True:
                try:
                    packet = next(packets, None)
                except (av.FFmpegError, OSError) as error:
                    stopped = getattr(error, 'strerror', None) or str(error)
                    break
                if packet is None:
                    break
                try:
                    decoded = packet.decode()
                except av.FFmpegError:
                    broken += 1
                    continue
                if packet.pts is not None:
                    end = max(end or 0, packet.pts + (packet.duration or 0))
                for frame in decoded:
                    frames += 1
                    yield frame
            self.problem = self._verdict(container, stream, frames, broken, end, stopped)

    def _verdict(self, container, stream, frames, broken, end, stopped) -> str | None:
        """What was wrong with a source that has come to its end."""
        if self.is_live:
            return f'{self._path}: the stream stopped after {frames} frames' + (
                f' ({stopped})' if stopped else ''
            )
        if stopped:
            return f'{self._path}: reading stopped after {frames} frames ({stopped})'
        seconds = _duration(container, stream)
        if seconds and end is not None:
            read = float((end - (stream.start_time or 0)) * stream.time_base)
            if seconds - read > max(0.5, 2 / self.fps):
                return (
                    f'{self._path}: ends after {frames} frames, at {read:.1f} of the {seconds:.1f} '
                    'seconds that it says it has: it was cut off when it was written or copied'
                )
        if broken:
            return (
                f'{self._path}: damaged packets: {broken}, left out; {frames} '
                'frames could be decoded'
            )
        return None

    def _read(self) -> Generator[SourceFrame, None, None]:
        if self._pending is not None:
            first_frame, decoder = self._pending
            self._pending = None
            frames = itertools.chain([first_frame], decoder)
        elif self.is_live:
            raise InputError(f'{self._path}: a live stream can be read once; open it again')
        else:
            frames = decoder = self._decode(self._open())
        first = None
        with closing(decoder):
            for index, frame in enumerate(frames):
                seconds = index / self.fps if frame.time is None else frame.time
                first = seconds if first is None else first
                if index >= self.start:
                    yield SourceFrame(index, seconds - first, self._to_rgb(frame))

    def _to_rgb(self, frame: av.VideoFrame) -> np.ndarray:
        image = frame.to_ndarray(format='rgb24')
        if self._turn is not None:
            a, b, c, d = self._turn
            if abs(b) > abs(a):  # a quarter turn
                image = image.transpose(1, 0, 2)
                vertical, horizontal = b < 0, c < 0
            else:
                vertical, horizontal = d < 0, a < 0
            image = image[:: -1 if vertical else 1, :: -1 if horizontal else 1]
        return np.ascontiguousarray(image)


class _Images(VideoSource):
    """Image files."""

    def __init__(
        self, files: Sequence[Path], name: str, start: int, max_frames: int | None
    ) -> None:
        super().__init__(name, start, max_frames)
        if start >= len(files):
            raise InputError(
                f'{files[0].parent}: has {len(files)} images and so no frame {start}; start lower'
            )
        self._files = files
        self.size = read_image(files[start]).shape[:2]
        self._set_length(len(files))

    def _read(self) -> Generator[SourceFrame, None, None]:
        for index in range(self.start, len(self._files)):
            yield SourceFrame(index, index / self.fps, read_image(self._files[index]))

    def _where(self, index: int) -> str:
        return str(self._files[index])


class _Camera(VideoSource):
    """A camera of this machine."""

    is_live = True
    rereadable = False

    def __init__(self, number: int, start: int, max_frames: int | None) -> None:
        super().__init__(f'camera{number}', start, max_frames)
        self._camera = None
        # OpenCV has lines of its own to say about each way that it tries
        log = cv2 if hasattr(cv2, 'setLogLevel') else cv2.utils.logging  # OpenCV 4; 5
        level = log.getLogLevel()
        log.setLogLevel(0)
        try:
            self._camera = cv2.VideoCapture(number)
        finally:
            log.setLogLevel(level)
        self._first = self._camera.read()[1] if self._camera.isOpened() else None
        if self._first is None:
            self.close()
            raise InputError(
                f'camera {number}: there is none of this number, or it gives no picture; check '
                'that it is plugged in, that no other program uses it and that you may read it'
            )
        self.size = self._first.shape[:2]
        rate = self._camera.get(cv2.CAP_PROP_FPS)
        self.fps = rate if 0 < rate <= 1000 else UNKNOWN_FPS
        self._set_length(None)

    def close(self) -> None:
        """Let other programs use the camera."""
        if self._camera is not None:
            self._camera.release()
            self._camera = None

    def _read(self) -> Generator[SourceFrame, None, None]:
        if self._camera is None or self._first is None:
            raise InputError(f'{self.name}: was closed; open it again')
        image, self._first = self._first, None
        begin = time.monotonic()
        with closing(self):
            for index in itertools.count():
                if index >= self.start:
                    seconds = time.monotonic() - begin
                    yield SourceFrame(index, seconds, cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
                there, image = self._camera.read()
                if not there:
                    self.problem = f'{self.name}: gave no more pictures after {index + 1} frames'
                    return


class _Arrays(VideoSource):
    """Arrays that the user has or makes."""

    _in_thread = False  # there is nothing to decode, and a generator may mind another thread

    def __init__(self, arrays: Iterable[np.ndarray], start: int, max_frames: int | None) -> None:
        super().__init__('frames', start, max_frames)
        iterator = iter(arrays)
        self.rereadable = iterator is not arrays
        first = next(iterator, None)
        if first is None:
            raise InputError('frames: the iterable is empty, a video has at least one frame')
        self.size = _array_to_rgb(first, 0).shape[:2]
        self._arrays = arrays if self.rereadable else itertools.chain([first], arrays)
        self._set_length(len(arrays) if hasattr(arrays, '__len__') else None)

    def _read(self) -> Generator[SourceFrame, None, None]:
        for index, array in enumerate(self._arrays):
            if index >= self.start:
                yield SourceFrame(index, index / self.fps, _array_to_rgb(array, index))


def read_image(path: str | os.PathLike) -> np.ndarray:
    """An image as one sees it.

    Args:
        path: Of the file. Grey, palette, RGBA (the colours without alpha) and 16 bits a channel
            (the upper 8) are taken, and turned as EXIF says.

    Returns:
        ndarray: (H, W, 3) uint8, RGB.

    Raises:
        InputError: The file cannot be decoded.
    """
    try:
        with Image.open(path) as image:
            image = ImageOps.exif_transpose(image)
            if image.mode == 'F':
                raise InputError(
                    f'{path}: has floating-point pixels, whose range nobody knows; save it with 8 '
                    'or 16 bits'
                )
            if image.mode.startswith('I'):  # 16 bits; Pillow's own conversion would cut off at 255
                high = np.clip(np.asarray(image).astype(np.int32) >> 8, 0, 255).astype(np.uint8)
                image = Image.fromarray(high)
            return np.array(image.convert('RGB'))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        reason = ' '.join(str(error).split())
        raise InputError(
            f'{path}: the image cannot be decoded ({reason}); replace or remove the file'
        ) from error


def natural_order(path: Path) -> tuple:
    """Sort key by which frame2 comes before frame10."""
    parts = re.split('([0-9]+)', path.name.lower())
    return tuple(int(part) if i % 2 else part for i, part in enumerate(parts)), path.as_posix()


def _images_in(folder: Path) -> list[Path]:
    files = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        below = sorted(path.name for path in folder.iterdir() if path.is_dir())
        raise InputError(
            f'{folder}: has no images ({", ".join(IMAGE_SUFFIXES)})'
            + (f'; give one of the folders in it, such as {below[0]}' if below else '')
        )
    return sorted(files, key=natural_order)


def _images_of_pattern(pattern: str) -> list[Path]:
    files = [Path(name) for name in glob.glob(pattern, recursive=True)]
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


def _array_to_rgb(array: np.ndarray, index: int) -> np.ndarray:
    array = np.asarray(array)
    if array.ndim == 2:
        array = array[..., None]
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        raise InputError(
            f'frames, frame {index}: an array must be (H, W, 3) uint8, RGB; this one is '
            f'{array.shape} {array.dtype}'
        )
    if array.shape[2] == 1:
        return np.repeat(array, 3, axis=2)
    return np.ascontiguousarray(array[..., :3])


def _duration(container: av.container.InputContainer, stream) -> float | None:
    """Seconds of the video as the file says; another stream may last longer."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    said = re.fullmatch(r'(\d+):(\d+):(\d+\.?\d*)', stream.metadata.get('DURATION', ''))
    if said:
        hours, minutes, seconds = said.groups()
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    if container.duration and len(container.streams) == 1:
        return container.duration / av.time_base
    return None


def _display_matrix(frame: av.VideoFrame) -> tuple[int, int, int, int] | None:
    """a, b, c, d of x' = a x + c y, y' = b x + d y, how the frame is to be shown."""
    # asked for by name: iterating gives the data in PyAV 12 to 18, their types from 19 on
    data = frame.side_data.get('DISPLAYMATRIX')
    if data is None:
        return None
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
    return a, b, c, d
