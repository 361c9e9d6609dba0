"""Video files and streams, read by FFmpeg's libraries."""

import itertools
import os
import re
from collections.abc import Generator
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from mmvis_cl.errors import InputError, shortened

from .frame_source import UNKNOWN_FPS, SourceFrame, VideoSource

NETWORK_TIMEOUT = 10.0  # seconds without an answer until a stream counts as broken
LIVE_PROTOCOLS = ('rtsp', 'rtsps', 'rtmp', 'rtmps', 'rtp', 'udp', 'tcp', 'srt', 'mms')

# PyAV before 19 stops at texts in no known coding unless told otherwise; 19 cannot be told.
_ANY_TEXT = {} if int(av.__version__.split('.')[0]) >= 19 else {'metadata_errors': 'replace'}


def ffmpeg_name(path: str | os.PathLike) -> str:
    """A file's name that FFmpeg does not take for a protocol, as it would ``12:30.mp4``."""
    return f'file:{os.path.abspath(path)}'


def open_container(path: str | os.PathLike, **options) -> av.container.InputContainer:
    """Open a file for reading, whatever its name is and in whatever coding its texts are."""
    return av.open(ffmpeg_name(path), **_ANY_TEXT, **options)


class VideoFile(VideoSource):
    """A file or stream that FFmpeg's libraries read."""

    def __init__(self, path: str, start: int, max_frames: int | None, url: bool = False) -> None:
        address = path.split('?')[0].rstrip('/')
        name = (address.split('/')[-1] or address) if url else path
        super().__init__(Path(name).stem, start, max_frames)
        self._path = path
        self._url = url
        self.sound = self.file = None if url else path
        container = self._open()
        stream = _stream_of(container)
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
        if first is None and scheme in ('http', 'https'):
            raise _without_ranges(path, 'no frame can be decoded')
        if first is None:
            raise InputError(
                f'{path}: has no frame that can be decoded: nothing was recorded, or it was cut '
                'off when it was written or copied; use another file or copy it again'
            )
        self._turn = _display_matrix(first)
        ratio = Fraction(stream.sample_aspect_ratio or 1)
        turned = self._turn is not None and abs(self._turn[1]) > abs(self._turn[0])
        self.sample_aspect_ratio = 1 / ratio if turned else ratio
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
            if self._url:
                container = av.open(
                    self._path, options=options, timeout=NETWORK_TIMEOUT, **_ANY_TEXT
                )
            else:
                container = open_container(self._path)
        except (av.FFmpegError, OSError, ValueError) as error:
            reason = shortened(getattr(error, 'strerror', None) or error)
            if self._url and isinstance(error, av.InvalidDataError):
                raise _without_ranges(self._path, reason) from error
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
        stream = _stream_of(container)
        if stream is None:
            kinds = {s.type for s in container.streams if not _is_picture(s)} or {'a picture'}
            problem = f'has no video in it, only {", ".join(sorted(kinds))}; use another file'
        elif stream.codec_context is None:
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
            stream = _stream_of(container)
            frames = broken = 0
            begin, end, stopped = None, None, None
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
                    begin = packet.pts if begin is None else min(begin, packet.pts)
                    end = max(end or 0, packet.pts + (packet.duration or 0))
                for frame in decoded:
                    frames += 1
                    yield frame
            self.problem = self._verdict(container, stream, frames, broken, begin, end, stopped)

    def _verdict(self, container, stream, frames, broken, begin, end, stopped) -> str | None:
        """What was wrong with a source that has come to its end."""
        if self.is_live:
            return f'{self._path}: the stream stopped after {frames} frames' + (
                f' ({stopped})' if stopped else ''
            )
        if stopped:
            return f'{self._path}: reading stopped after {frames} frames ({stopped})'
        seconds = _duration(container, stream)
        if seconds and end is not None:
            read = float((end - begin) * stream.time_base)
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


def _without_ranges(url: str, reason: str) -> InputError:
    return InputError(
        f'{url}: the video cannot be read from there ({reason}). An mp4 whose index is at its end '
        'needs a server that gives parts of a file (Accept-Ranges); download it first, or put the '
        'index first: ffmpeg -i IN.mp4 -c copy -movflags +faststart OUT.mp4'
    )


def _is_picture(stream) -> bool:
    """Whether a stream is the cover of a file, which FFmpeg gives as a video of one frame."""
    disposition = getattr(stream, 'disposition', 0)  # PyAV 14 and newer
    flag = getattr(getattr(av.stream, 'Disposition', None), 'attached_pic', 0x400)
    if disposition and int(disposition) & int(flag):
        return True
    # before that only the codec tells: no video is a sequence of PNG or of single JPEGs in music
    return (
        stream.type == 'video'
        and stream.frames <= 1
        and stream.codec_context is not None
        and (
            stream.codec_context.name in ('png', 'bmp', 'gif', 'webp')
            or (stream.codec_context.name == 'mjpeg' and not stream.average_rate)
        )
    )


def _stream_of(container: av.container.InputContainer):
    """The video of a file: of several the largest, covers aside; None if there is none."""
    videos = [s for s in container.streams.video if not _is_picture(s)]

    def pixels(stream) -> int:
        context = stream.codec_context
        return 0 if context is None else context.width * context.height

    return max(videos, key=pixels, default=None)  # the first one of the largest


def _duration(container: av.container.InputContainer, stream) -> float | None:
    """Seconds of the video as the file says, from its first frame; another stream may last longer.

    Matroska says when the last frame ends, not how long the video is, which may begin late.
    """
    begin = float((stream.start_time or 0) * stream.time_base)
    if stream.duration:
        return float(stream.duration * stream.time_base)
    said = re.fullmatch(r'(\d+):(\d+):(\d+\.?\d*)', stream.metadata.get('DURATION', ''))
    if said:
        hours, minutes, seconds = said.groups()
        return max(0.0, int(hours) * 3600 + int(minutes) * 60 + float(seconds) - begin)
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
