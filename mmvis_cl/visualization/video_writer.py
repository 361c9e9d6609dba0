"""MP4 files that browsers play, written with PyAV."""

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from mmvis_cl.errors import InputError


class VideoWriter:
    """Writes RGB frames to an H.264 ``.mp4`` (yuv420p); needs no ffmpeg on the machine.

    The file gets its name when the ``with`` block ends without an error, so that a file with that
    name is always whole. Odd sides are padded by one pixel (the edge repeated), for yuv420p needs
    even ones.

    Args:
        path: Of the file to write; its suffix must be ``.mp4``. Folders are made.
        fps: Frames a second, > 0.
        crf: Quality of the encoder, 0 (lossless) to 51 (worst).

    Raises:
        InputError: If the suffix is not ``.mp4``, ``fps`` is not positive, the file cannot be
            written, or PyAV was built without an H.264 encoder.

    Examples:
        >>> with VideoWriter('out.mp4', fps=6) as writer:
        ...     for frame in frames:  # (H, W, 3) uint8
        ...         writer.write(frame)
    """

    def __init__(self, path: str | os.PathLike, fps: float = 6.0, crf: int = 20) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() != '.mp4':
            raise InputError(f'{self.path}: a video must be written to a name that ends in .mp4')
        if not fps > 0:
            raise InputError(f'{self.path}: fps must be above 0, got {fps}')
        self.fps = Fraction(fps).limit_denominator(1001)
        self.crf = crf
        # In the same folder, so that the rename cannot cross file systems; the process id keeps two
        # writers apart.
        self._temp = self.path.with_name(f'.{self.path.stem}.{os.getpid()}.part.mp4')
        self._container = None
        self._stream = None
        self._shape = None

    def __enter__(self) -> 'VideoWriter':
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._container = av.open(
                str(self._temp), 'w', format='mp4', options={'movflags': '+faststart'}
            )
        except OSError as error:
            raise InputError(f'{self.path}: cannot be written ({error})') from error
        return self

    def write(self, frame: np.ndarray) -> None:
        """Append a frame.

        Args:
            frame: (H, W, 3) uint8, RGB; every frame of the size of the first.

        Raises:
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
        self._container.mux(self._stream.encode(video_frame))

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
        stream.options = {'crf': str(self.crf), 'preset': 'veryfast'}
        return stream

    def __exit__(self, error_type, error, traceback) -> None:
        try:
            if error_type is None:
                if self._stream is None:
                    raise InputError(f'{self.path}: no frame was written, so there is no video')
                self._container.mux(self._stream.encode())
                self._container.close()
                os.replace(self._temp, self.path)
        finally:
            self._container.close()
            self._container = None
            self._temp.unlink(missing_ok=True)
