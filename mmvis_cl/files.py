"""Files that are whole or not there: what mmvis_cl writes, it writes through here."""

import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import IO, Any

from mmvis_cl.errors import InputError, cannot_write

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
        if os.path.isdir(target):
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


def check_new_file(path: str | os.PathLike, suffix: str) -> None:
    """Make sure that a file can be written, before the work that it is the end of.

    Args:
        path: Of the file; the folder that it is in is made.
        suffix: That its name must end in, as ``'.mp4'``; upper case will do.

    Raises:
        InputError: The suffix is another, a folder has this name, the name is too long, or its
            folder cannot be made or written to.
    """
    path = Path(path)
    if path.suffix.lower() != suffix:
        raise InputError(f'{path}: the name of this output must end in {suffix}')
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        is_folder = False
    except OSError as error:
        raise cannot_write(path, error) from error
    if is_folder:
        raise InputError(f'{path}: is a folder; give the name of a file')
    check_folder(path.parent)


def check_folder(folder: str | os.PathLike) -> None:
    """Make a folder if need be, and try whether files can be written to it.

    Args:
        folder: The folder.

    Raises:
        InputError: It cannot be made or written to.
    """
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise cannot_write(folder, error) from error


def check_room(folder: str | os.PathLike, needed: int, what: str) -> None:
    """Make sure that a disk has room, before the work that fills it.

    Args:
        folder: Where it will be; it need not be there yet.
        needed: Bytes.
        what: That takes them, as ``'the frames'``.

    Raises:
        InputError: Less is free.
    """
    folder = Path(folder)
    nearest = next(path for path in (folder, *folder.absolute().parents) if os.path.exists(path))
    free = shutil.disk_usage(nearest).free
    if needed > free:
        raise InputError(
            f'{folder}: {what} take {needed / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free; '
            'free some space or write elsewhere'
        )


def check_empty_folder(folder: str | os.PathLike) -> None:
    """Make a folder if need be, and make sure that it is empty and can be written to.

    Args:
        folder: The folder.

    Raises:
        InputError: It has something in it, is a file, or cannot be made or written to.
    """
    try:
        if os.path.lexists(folder) and not stat.S_ISDIR(os.stat(folder).st_mode):
            raise InputError(f'{folder}: is a file; give the name of a folder')
    except OSError as error:
        raise cannot_write(folder, error) from error
    check_folder(folder)
    if os.listdir(folder):
        raise InputError(f'{folder}: is not empty; empty it or name another folder')


def is_zip(path: str | os.PathLike) -> bool:
    """Whether a file is a zip, whole or not: Python's own question ends in an error for some."""
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # in more parts than one, as its end says
        return True


def fitting_name(stem: str, ending: str, folder: str | os.PathLike = '.') -> str:
    """``stem + ending``, of which the stem is cut where the file system wants it shorter.

    Args:
        stem: Any text without a slash.
        ending: What the name ends in, as ``'_tracked.mp4'``.
        folder: Where the file will be; it need not be there yet.

    Returns:
        The name.
    """
    while not os.path.isdir(folder) and os.path.dirname(folder):
        folder = os.path.dirname(folder)
    try:
        longest = os.pathconf(folder or '.', 'PC_NAME_MAX')
    except (AttributeError, OSError, ValueError):  # not on Windows
        longest = 255
    room = longest - len(os.fsencode(ending))
    while len(os.fsencode(stem)) > room:
        stem = stem[:-1]
    return stem + ending
