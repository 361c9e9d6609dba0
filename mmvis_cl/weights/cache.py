"""Where fetched weights lie, and what is known of each file: its source, size and hash."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from mmvis_cl.errors import InputError, cannot_write
from mmvis_cl.files import whole_file


def weights_folder() -> Path:
    """The folder of fetched weights: ``weights`` in MMVIS_CL_HOME.

    Without that, ``mmvis_cl/weights`` in XDG_CACHE_HOME, else in ``~/.cache``.

    Raises:
        InputError: There is no home.
    """
    own = os.environ.get('MMVIS_CL_HOME')
    if own:
        return Path(own).expanduser().absolute() / 'weights'
    cache = os.environ.get('XDG_CACHE_HOME', '')
    if os.path.isabs(cache):  # the standard has relative ones ignored
        return Path(cache) / 'mmvis_cl' / 'weights'
    try:
        return Path.home() / '.cache' / 'mmvis_cl' / 'weights'
    except RuntimeError as error:
        raise InputError(
            'weights: there is no home folder to keep them in; name a folder in MMVIS_CL_HOME'
        ) from error


def read_notes(file: Path) -> dict[str, Any]:
    """What was written down when the file was fetched; {} if nothing was, or it cannot be read."""
    try:
        notes = json.loads(notes_of(file).read_text())
    except (OSError, ValueError):
        return {}
    return notes if isinstance(notes, dict) else {}


def write_notes(file: Path, source: str, sha256: str) -> None:
    """Write down where a file is from, its size and its hash.

    Raises:
        InputError: It cannot be written.
    """
    notes = dict(source=source, sha256=sha256, size=file.stat().st_size)
    try:
        with whole_file(notes_of(file)) as opened:
            opened.write(json.dumps(notes, indent=2) + '\n')
    except OSError as error:
        raise cannot_write(notes_of(file), error) from error


def notes_of(file: Path) -> Path:
    """The file beside a file of weights that tells of it."""
    return file.with_name(f'{file.name}.json')


def sha256_of(file: Path) -> str:
    """SHA-256 of a file in hex."""
    with open(file, 'rb') as opened:
        digest = hashlib.sha256()
        while chunk := opened.read(1 << 22):
            digest.update(chunk)
    return digest.hexdigest()
