"""Results in a place that fsspec knows."""

import json
import os
import socket
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mmvis_cl.errors import InputError, shortened
from mmvis_cl.json_file import parse_json

from .record import VideoRecord
from .remote import filesystem, unreachable
from .store import RECORD, VIDEOS, Store
from .video import folder_name

# Protocols whose files appear when they are whole. Elsewhere a file gets its name by a move.
_WHOLE_OBJECTS = {'memory', 's3', 's3a', 'gs', 'gcs', 'abfs', 'abfss', 'az', 'adl', 'oss'}
_RECORDS_AT_ONCE = 500  # that are asked for, for each answer takes its time


class RemoteStore(Store):
    """A place that fsspec knows. The record is written last: without it nothing counts as done."""

    def __init__(self, out: str, owner: str = 'all') -> None:
        super().__init__(out.rstrip('/'), owner)
        self._fs, self._root = filesystem(self.out)
        protocol = self._fs.protocol
        self._moves = not _WHOLE_OBJECTS & {
            protocol,
            *([] if isinstance(protocol, str) else protocol),
        }

    def check(self) -> None:
        """See :class:`Store`."""
        self.write('.writable', '')

    @contextmanager
    def unfinished_folder(self) -> Iterator[Path]:
        """See :class:`Store`."""
        with tempfile.TemporaryDirectory(prefix=f'mmvis_cl-{self.owner}-') as folder:
            yield Path(folder)

    def publish(self, folder: Path | None, record: VideoRecord) -> None:
        """See :class:`Store`."""
        target = self._folder(record.id)
        try:
            if self._fs.exists(f'{target}/{RECORD}'):  # what it vouches for is about to change
                self._fs.rm_file(f'{target}/{RECORD}')
            older = self._fs.find(target)
            if older:
                self._fs.rm(older)
            if folder is not None:
                for path in sorted(folder.rglob('*')):
                    if os.path.isfile(path):
                        self._put(path, f'{target}/{path.relative_to(folder).as_posix()}')
            text = json.dumps(record.to_json(), indent=2) + '\n'
            self._put(text.encode(), f'{target}/{RECORD}')
        except Exception as error:  # each file system has its own
            raise self._cannot_write(error) from error

    def records(self, ids: Iterable[str]) -> Iterator[VideoRecord | None]:
        """See :class:`Store`."""
        ids = list(ids)
        try:
            self._fs.invalidate_cache()
            root = f'{self._root}/{VIDEOS}'
            there = {
                path.rstrip('/').rpartition('/')[2]
                for path in (self._fs.ls(root, detail=False) if self._fs.exists(root) else ())
            }
            for first in range(0, len(ids), _RECORDS_AT_ONCE):
                some = ids[first : first + _RECORDS_AT_ONCE]
                paths = {
                    id: f'{self._folder(id)}/{RECORD}' for id in some if folder_name(id) in there
                }
                # absent: a video of which only some outputs have arrived
                read = self._fs.cat(list(paths.values()), on_error='omit') if paths else {}
                for id in some:
                    data = read.get(paths.get(id))
                    where = f'{self.out}/{VIDEOS}/{folder_name(id)}/{RECORD}'
                    yield data and VideoRecord.from_json(parse_json(data, where), where)
        except InputError:
            raise
        except Exception as error:  # each file system has its own
            raise unreachable(self.out, error) from error

    def is_empty(self) -> bool:
        """See :class:`Store`."""
        root = f'{self._root}/{VIDEOS}'
        try:
            return not self._fs.exists(root) or not self._fs.ls(root, detail=False)
        except Exception as error:  # each file system has its own
            raise unreachable(self.out, error) from error

    def read(self, name: str) -> bytes | None:
        """See :class:`Store`."""
        try:
            path = f'{self._root}/{name}'
            return self._fs.cat_file(path) if self._fs.exists(path) else None
        except Exception as error:  # each file system has its own
            raise unreachable(f'{self.out}/{name}', error) from error

    def write(self, name: str, text: str) -> None:
        """See :class:`Store`."""
        try:
            self._put(text.encode(), f'{self._root}/{name}')
        except Exception as error:  # each file system has its own
            raise self._cannot_write(error) from error

    def clean_up(self, process: int | None = None) -> None:
        """See :class:`Store`."""
        pass  # what is unfinished lies in the temporary folder of another machine

    def _folder(self, video_id: str) -> str:
        return f'{self._root}/{VIDEOS}/{folder_name(video_id)}'

    def _put(self, content: bytes | Path, path: str) -> None:
        name = path
        if self._moves:
            self._fs.makedirs(path.rpartition('/')[0], exist_ok=True)
            name = f'{path}.{socket.gethostname()}-{os.getpid()}.part'
        if isinstance(content, bytes):
            self._fs.pipe_file(name, content)
        else:
            self._fs.put_file(os.fspath(content), name)
        if self._moves:
            self._fs.mv(name, path)

    def _cannot_write(self, error: Exception) -> InputError:
        reason = shortened(str(error) or type(error).__name__, 200)
        return InputError(
            f'{self.out}: cannot be written to ({type(error).__name__}: {reason}); check the '
            'address and your rights'
        )
