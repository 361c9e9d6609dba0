"""Where results lie: a folder a video, which is there whole, with its record, or not at all."""

import errno
import json
import os
import shutil
import socket
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from mmvis_cl.errors import InputError, cannot_write
from mmvis_cl.files import check_folder, whole_file
from mmvis_cl.json_file import parse_json, read_bytes

from .record import VideoRecord
from .remote import is_remote
from .video import folder_name

RECORD = 'record.json'
VIDEOS, WORK = 'videos', '.work'
_numbers = count()


class Store(ABC):
    """Results by the ids of videos.

    Args:
        out: Folder or address.
        owner: Whose unfinished folders are whose; see :meth:`clean_up`.
    """

    def __init__(self, out: str, owner: str = 'all') -> None:
        self.out, self.owner = out, owner

    @abstractmethod
    def check(self) -> None:
        """Make sure, before the work, that results can be written.

        Raises:
            InputError: They cannot.
        """

    @contextmanager
    @abstractmethod
    def unfinished_folder(self) -> Iterator[Path]:
        """An empty folder of this machine for the outputs of a video; it is gone afterwards."""

    @abstractmethod
    def publish(self, folder: Path | None, record: VideoRecord) -> None:
        """Give the outputs of a video their place, with the record, instead of what was there.

        Args:
            folder: With the outputs; it may be moved. None if there are none.
            record: Of the video.

        Raises:
            InputError: It cannot be written.
        """

    @abstractmethod
    def records(self, ids: Iterable[str]) -> Iterator[VideoRecord | None]:
        """The record of each video in order; None where there is none.

        Raises:
            InputError: One cannot be read.
        """

    @abstractmethod
    def is_empty(self) -> bool:
        """Whether there is no result yet."""

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """A file of the run; None if it is not there."""

    @abstractmethod
    def write(self, name: str, text: str) -> None:
        """Write a file of the run.

        Raises:
            InputError: It cannot be written.
        """

    @abstractmethod
    def clean_up(self, process: int | None = None) -> None:
        """Remove what killed processes of this owner left: one of this machine, or all."""

    def record(self, video_id: str) -> VideoRecord | None:
        """The record of one video."""
        return next(self.records([video_id]))


def open_store(out: str, owner: str = 'all') -> Store:
    """The results of a folder, or of an address that fsspec knows; see :class:`Store`."""
    from .remote_store import RemoteStore

    return RemoteStore(out, owner) if is_remote(out) else LocalStore(out, owner)


class LocalStore(Store):
    """A folder: ``videos/NAME`` gets its name by one rename, record and all."""

    def check(self) -> None:
        """See :class:`Store`."""
        check_folder(os.path.join(self.out, VIDEOS))
        check_folder(os.path.join(self.out, WORK))

    @contextmanager
    def unfinished_folder(self) -> Iterator[Path]:
        """See :class:`Store`."""
        folder = self._unused()
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise cannot_write(folder, error) from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self, folder: Path | None, record: VideoRecord) -> None:
        """See :class:`Store`."""
        if folder is None:
            with self.unfinished_folder() as empty:
                self.publish(empty, record)
            return
        with whole_file(folder / RECORD) as file:
            file.write(json.dumps(record.to_json(), indent=2) + '\n')
        target = self._folder(record.id)
        old = self._unused()
        try:
            while True:
                with suppress(FileNotFoundError):
                    os.rename(target, old)
                try:
                    os.rename(folder, target)
                    break
                except OSError as error:
                    if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                        raise
                # a worker of a node that was taken for lost has put its results there just now
                shutil.rmtree(old, ignore_errors=True)
            _to_disk(target.parent)
        except OSError as error:
            raise cannot_write(target, error) from error
        finally:
            shutil.rmtree(old, ignore_errors=True)

    def records(self, ids: Iterable[str]) -> Iterator[VideoRecord | None]:
        """See :class:`Store`."""
        for video_id in ids:
            path = self._folder(video_id) / RECORD
            # nearly all are not there, or all are: to ask first would be a call more
            try:
                data = path.read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                yield None
                continue
            except OSError as error:
                raise InputError(
                    f'{path}: cannot be read ({error.strerror}); correct its permissions'
                ) from error
            yield VideoRecord.from_json(parse_json(data, path), str(path))

    def is_empty(self) -> bool:
        """See :class:`Store`."""
        with suppress(FileNotFoundError), os.scandir(os.path.join(self.out, VIDEOS)) as entries:
            return next(entries, None) is None
        return True

    def read(self, name: str) -> bytes | None:
        """See :class:`Store`."""
        path = os.path.join(self.out, name)
        return read_bytes(path) if os.path.exists(path) else None

    def write(self, name: str, text: str) -> None:
        """See :class:`Store`."""
        with whole_file(os.path.join(self.out, name)) as file:
            file.write(text)

    def clean_up(self, process: int | None = None) -> None:
        """See :class:`Store`."""
        begin = f'{self.owner}-' if process is None else self._begin(process)
        with suppress(FileNotFoundError):
            for entry in os.scandir(os.path.join(self.out, WORK)):
                if entry.name.startswith(begin):
                    shutil.rmtree(entry.path, ignore_errors=True)

    def _folder(self, video_id: str) -> Path:
        return Path(self.out, VIDEOS, folder_name(video_id))

    def _begin(self, process: int) -> str:
        return f'{self.owner}-{socket.gethostname()}-{process}-'

    def _unused(self) -> Path:
        return Path(self.out, WORK, f'{self._begin(os.getpid())}{next(_numbers)}')


def _to_disk(folder: Path) -> None:
    """Let the names in a folder survive a loss of power."""
    if os.name != 'posix':
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems cannot
            os.fsync(opened)
    finally:
        os.close(opened)
