"""Sources and results elsewhere, by fsspec."""

import os
import shutil
from pathlib import Path
from typing import Any

from mmvis_cl.errors import InputError, shortened
from mmvis_cl.files import whole_file


def is_remote(path: str) -> bool:
    """Whether it is an address. One of this machine's files (``file://``) counts as well."""
    return '://' in path


def filesystem(address: str) -> tuple[Any, str]:
    """fsspec's file system of an address, and the path in it.

    Args:
        address: As ``s3://bucket/videos``; what comes before ``://`` must be known to fsspec.

    Raises:
        InputError: fsspec, or what it needs for this protocol, is not installed.
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise InputError(f"{address}: needs fsspec; run pip install 'mmvis_cl[remote]'") from None
    try:
        fs, path = url_to_fs(address)
    except (ImportError, ValueError) as error:  # a protocol of a package, or of nobody
        raise InputError(
            f'{address}: cannot be reached ({shortened(error)}); correct it, or install the '
            'package that fsspec needs for it'
        ) from error
    return fs, path


def read_text(address: str) -> str:
    """A text file.

    Raises:
        InputError: It cannot be read.
    """
    fs, path = filesystem(address)
    try:
        return fs.cat_file(path).decode('utf-8-sig')
    except Exception as error:  # each file system has its own
        raise unreachable(address, error) from error


def fetch(address: str, folder: str | os.PathLike) -> Path:
    """Copy a file to this machine.

    Args:
        address: Of the file.
        folder: That it is copied to, under its own name.

    Raises:
        InputError: It cannot be read.
    """
    fs, path = filesystem(address)
    target = Path(folder) / (path.split('?')[0].rstrip('/').rpartition('/')[2] or 'video')
    try:
        with fs.open(path, 'rb') as there, whole_file(target, 'wb') as file:
            shutil.copyfileobj(there, file, 1 << 20)
    except InputError:
        raise
    except Exception as error:  # each file system has its own
        raise unreachable(address, error) from error
    return target


def unreachable(address: str, error: Exception) -> InputError:
    """What to raise where a file system fails."""
    reason = shortened(str(error) or type(error).__name__, 200)
    return InputError(
        f'{address}: cannot be read ({type(error).__name__}: {reason}); check the address and '
        'your rights'
    )
