"""What all outputs of a tracked video have in common."""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from mmvis_cl.errors import InputError, cannot_write
from mmvis_cl.files import check_new_file
from mmvis_cl.structures.frame_result import FrameResult


class Output(ABC):
    """A file or folder that is written while a video is being tracked.

    ``close`` makes a finished, valid output of the frames so far, be it the whole video or not. A
    ``with`` block calls it at its end and when it is interrupted (Ctrl-C), and ``discard`` when
    there was another error. Memory does not grow with the video unless a subclass says so.

    Args:
        path: To write to. Folders are made.

    Attributes:
        frames (int): How many frames were written.
        finished (bool): The output is there, whole, under its own name.

    Raises:
        InputError: Nothing can be written there; see :meth:`check_path`.
    """

    suffix = ''

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        self.check_path(path)
        self.frames = 0
        self.finished = False
        self._open = True

    @classmethod
    def check_path(cls, path: str | os.PathLike) -> None:
        """Make sure that this output can be written, before the work that it is the end of.

        Args:
            path: Of the output; the folder that it is in is made.

        Raises:
            InputError: See :func:`mmvis_cl.files.check_new_file`.
        """
        check_new_file(path, cls.suffix)

    def __enter__(self) -> 'Output':
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error_type is None or issubclass(error_type, KeyboardInterrupt):
            self.close()
        else:
            self.discard()

    def write(self, frame: FrameResult) -> None:
        """Append a frame.

        Args:
            frame: The frames come in order.

        Raises:
            InputError: It cannot be written, as on a full disk. The output is discarded then.
            ValueError: The output was closed.
        """
        if not self._open:
            raise ValueError(f'{self.path}: write() after close()')
        try:
            self._write(frame)
        except BaseException as error:  # half a frame may be in the file
            self.discard()
            if isinstance(error, OSError):
                raise cannot_write(self.path, error) from error
            raise
        self.frames += 1

    def close(self) -> None:
        """Finish the output and give it its name. Nothing to do if it was closed or discarded.

        Raises:
            InputError: It cannot be written. It is discarded then.
        """
        if not self._open:
            return
        try:
            self._finish()
            self.finished = True
        except OSError as error:
            raise cannot_write(self.path, error) from error
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove what was not finished. What was closed stays."""
        if self._open:
            self._open = False
            self._clean_up()

    @abstractmethod
    def _write(self, frame: FrameResult) -> None:
        """Append a frame."""

    @abstractmethod
    def _finish(self) -> None:
        """Make a whole file of what was written, under its own name."""

    @abstractmethod
    def _clean_up(self) -> None:
        """Close what is open and remove what has no name of its own yet."""


class Outputs:
    """Several outputs written as one.

    Args:
        outputs: The outputs.
    """

    def __init__(self, outputs: Sequence[Output]) -> None:
        self.outputs = list(outputs)

    def write(self, frame: FrameResult) -> None:
        """Append a frame to each; see :meth:`Output.write`."""
        for output in self.outputs:
            output.write(frame)

    def close(self) -> None:
        """Finish each, also if one before it fails.

        Raises:
            InputError: The first that failed.
        """
        errors = []
        for output in self.outputs:
            try:
                output.close()
            except InputError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def discard(self) -> None:
        """Discard each."""
        for output in self.outputs:
            output.discard()
