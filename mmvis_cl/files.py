"""Files that are whole or not there: what mmvis_cl writes, it writes through here."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import IO, Any

from mmvis_cl.errors import cannot_write

_numbers = count()


def unfinished_name(path: str | os.PathLike) -> Path:
    """The name that a file has until it is whole.

    It is in the same folder, so that the rename cannot cross file systems. It does not hold the
    file's own name, which may be as long as the file system allows; process id and a count keep
    two of them apart.
    """
    path = Path(path)
    return path.with_name(f'.{os.getpid()}-{next(_numbers)}.part{path.suffix[:16]}')


def finish(part: str | os.PathLike, path: str | os.PathLike) -> None:
    """Give a file that is whole its name, so that a loss of power leaves the old one or the new.

    Args:
        part: From :func:`unfinished_name`; written and closed.
        path: The name.

    Raises:
        OSError: It cannot be renamed, as where the name is a folder's.
    """
    with open(part, 'rb') as file:
        os.fsync(file.fileno())
    os.replace(part, path)
    if os.name == 'posix':  # the name is in the folder, which is to reach the disk as well
        folder = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY)
        try:
            os.fsync(folder)
        except OSError:  # some file systems cannot; the file itself is safe
            pass
        finally:
            os.close(folder)


@contextmanager
def whole_file(
    path: str | os.PathLike, mode: str = 'w', encoding: str | None = None, **options: Any
) -> Iterator[IO]:
    """Open a file to be written that gets its name at the end of the block, or never.

    What had the name before stays until then. A link is followed, and what is no regular file
    (``/dev/stdout``, a pipe) is written to directly. Missing folders are made.

    Args:
        path: Of the file.
        mode: ``'w'`` or ``'wb'``.
        encoding: Of text; UTF-8 if None.
        **options: More arguments of ``open``.

    Yields:
        The open file.

    Raises:
        InputError: It cannot be written, as on a full disk; nothing is left of it then.
    """
    target = Path(os.path.realpath(path))
    if 'b' not in mode:
        encoding = encoding or 'utf-8'
    part = None
    try:
        with suppress(FileNotFoundError):
            kind = os.stat(path).st_mode
            if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
                with open(path, mode, encoding=encoding, **options) as file:
                    yield file
                return
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise IsADirectoryError(21, 'is a folder')
        part = unfinished_name(target)
        with open(part, mode.replace('w', 'x'), encoding=encoding, **options) as file:
            yield file
        finish(part, target)
        part = None
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        if part is not None:
            with suppress(OSError):
                part.unlink(missing_ok=True)
