"""MP4 files that browsers play, written with PyAV."""

import errno
import logging
import os
from contextlib import suppress
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np

from mmvis_cl.errors import InputError, cannot_write
from mmvis_cl.files import finish, unfinished_name

from .sound import Sound
from .task_thread import TaskThread

logger = logging.getLogger(__name__)

# Frames that may wait for the encoder, 2.8 MB each of 720p: enough to even out what takes longer.
WAITING_FRAMES = 4
THREADS = 4  # of the encoder


class VideoWriter:
    """Writes RGB frames to an H.264 ``.mp4`` (yuv420p); needs no ffmpeg on the machine.

    The file gets its name in :meth:`close`, so that a file with that name is always whole. A
    ``with`` block opens it and closes it, or, if there was an error, discards what was written. Odd
    sides are padded by one pixel (the edge repeated), for yuv420p needs even ones.

    Frames are encoded in a thread of its own, while the caller makes the next ones; at most
    ``WAITING_FRAMES`` wait for it. What goes wrong there is raised by the next call.

    Args:
        path: Of the file to write; its suffix must be ``.mp4``. Folders are made.
        fps: Frames a second, > 0.
        crf: Quality of the encoder, 0 (lossless) to 51 (worst).
        sample_aspect_ratio: Width over height of a pixel as it is to be shown.
        sound: A file whose sound is written with the frames, which must come with their times in
            it. Where there is none, or it cannot be read, the video has none.

    Raises:
        InputError: If the suffix is not ``.mp4``, ``fps`` is not positive, the file cannot be
            written, or PyAV was built without an H.264 encoder.

    Examples:
        >>> with VideoWriter('out.mp4', fps=6) as writer:
        ...     for frame in frames:  # (H, W, 3) uint8
        ...         writer.write(frame)
    """

    def __init__(
        self,
        path: str | os.PathLike,
        fps: float = 6.0,
        crf: int = 20,
        sample_aspect_ratio: Fraction | int = 1,
        sound: str | os.PathLike | None = None,
    ) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() != '.mp4':
            raise InputError(f'{self.path}: a video must be written to a name that ends in .mp4')
        if not fps > 0:
            raise InputError(f'{self.path}: fps must be above 0, got {fps}')
        self.fps = Fraction(fps).limit_denominator(1001)
        self.crf = crf
        self.sample_aspect_ratio = Fraction(sample_aspect_ratio)
        self._sound_file = sound
        self._sound: Sound | None = None
        self._temp = unfinished_name(self.path)
        self._container = None
        self._thread = None
        self._stream = None
        self._shape = None
        # Fine enough for any timestamp, and a frame at the constant rate is a whole number of it.
        self._ticks = self.fps.numerator * -(-10000 // self.fps.numerator)
        self._start = None
        self._last_tick = -1

    def __enter__(self) -> 'VideoWriter':
        self.open()
        return self

    def __exit__(self, error_type, error, traceback) -> None:
        if error_type is None:
            self.close()
        else:
            self.discard()

    def open(self) -> None:
        """Make the unfinished file.

        Raises:
            InputError: If that is not possible.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._container = av.open(
                # FFmpeg would take a colon in a relative path for the end of a protocol's name
                os.path.abspath(self._temp),
                'w',
                format='mp4',
                options={'movflags': '+faststart'},
            )
        except OSError as error:
            raise cannot_write(self.path, error) from error
        self._thread = TaskThread(f'encoding of {self.path.name}', WAITING_FRAMES)

    def write(self, frame: np.ndarray, time: float | None = None) -> None:
        """Append a frame; it is copied.

        Args:
            frame: (H, W, 3) uint8, RGB; every frame of the size of the first.
            time: When it is shown, in seconds on any clock; the first frame is shown at once. Times
                that do not increase are taken as an instant later. None: at the constant rate.

        Raises:
            InputError: If the file cannot be written to, this frame or one before.
            ValueError: If the type or shape is another, or the writer is not open.
        """
        if self._container is None:
            raise ValueError(f'{self.path}: write() outside of the `with` block')
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise ValueError(
                f'{self.path}: a frame must be (H, W, 3) uint8, got {frame.shape} {frame.dtype}'
            )
        if self._stream is None:
            self._shape = frame.shape
            self._stream = self._add_stream(*frame.shape[:2])
        elif frame.shape != self._shape:
            raise ValueError(
                f'{self.path}: a frame is {frame.shape[:2]}, the first was {self._shape[:2]}'
            )
        height, width = frame.shape[:2]
        if height % 2 or width % 2:
            frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode='edge')
        video_frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format='rgb24')
        video_frame.time_base = self._stream.codec_context.time_base
        video_frame.pts = self._last_tick = self._tick(time)
        self._thread.give(partial(self._encode, video_frame))

    def _encode(self, frame: av.VideoFrame) -> None:
        until = frame.pts / self._ticks  # the encoder has its own way with a frame's time
        try:
            self._container.mux(self._stream.encode(frame))
            self._write_sound(until)
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def _write_sound(self, seconds: float) -> None:
        """What sounds up to so many seconds of this file."""
        if self._sound is None:
            return
        try:
            self._sound.mux(self._container, self._start, self._start + seconds)
        except (av.FFmpegError, ValueError) as error:
            if getattr(error, 'errno', None) in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                raise  # it is the output that fails
            logger.warning(f'{self._sound_file}: its sound ends early in {self.path} ({error})')
            self._close_sound()

    def _close_sound(self) -> None:
        if self._sound is not None:
            self._sound.close()
            self._sound = None

    def _tick(self, time: float | None) -> int:
        if self._start is None:
            self._start = time or 0.0
            return 0
        if time is None:
            return self._last_tick + int(self._ticks / self.fps)
        return max(self._last_tick + 1, round((time - self._start) * self._ticks))

    def _add_stream(self, height: int, width: int):
        try:
            stream = self._container.add_stream('libx264', rate=self.fps)
        except ValueError as error:  # PyAV's UnknownCodecError is one
            raise InputError(
                f'{self.path}: this PyAV has no H.264 encoder (libx264); '
                "install PyAV's own wheel: pip install --force-reinstall --only-binary av av"
            ) from error
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = 'yuv420p'
        # With B-frames the muxer gets the length of a video of uneven times wrong.
        # x264 gives the same bytes again for as many threads, which are by default those of the
        # machine.
        stream.options = {
            'crf': str(self.crf), 'preset': 'veryfast', 'bf': '0', 'threads': str(THREADS),
        }  # fmt: skip
        stream.codec_context.time_base = Fraction(1, self._ticks)
        stream.codec_context.sample_aspect_ratio = self.sample_aspect_ratio
        if self._sound_file is not None:
            try:
                self._sound = Sound(os.fspath(self._sound_file))
                self._sound.add_to(self._container)
            except LookupError:
                pass
            except (OSError, ValueError) as error:
                logger.warning(f'{self.path}: is without sound ({error})')
                self._close_sound()
        return stream

    def close(self) -> None:
        """Finish the file and give it its name.

        Raises:
            InputError: If no frame was written, or the file cannot be written to; nothing is left
                of it then.
        """
        try:
            if self._stream is None:
                raise InputError(f'{self.path}: no frame was written, so there is no video')
            self._thread.finish()
            self._write_sound(self._last_tick / self._ticks + float(1 / self.fps))
            self._container.mux(self._stream.encode())
            self._container.close()
            finish(self._temp, self.path)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove what was not finished. Nothing to do after :meth:`close`."""
        if self._thread is not None:
            self._thread.stop()
        self._close_sound()
        if self._container is not None:
            with suppress(OSError):  # a full disk; the file is removed anyway
                self._container.close()
            self._container = None
        self._temp.unlink(missing_ok=True)
