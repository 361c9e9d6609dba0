"""Checkpoints of a training that may be killed at any moment: which is the newest whole one."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend
from mmengine.runner import Runner

from mmvis_cl.errors import InputError
from mmvis_cl.files import whole_file
from mmvis_cl.processes import is_running

_NUMBERED = re.compile(r'(?!best_).*?(\d+)\.pth')
# Of a checkpoint or of `last_checkpoint`: mmvis_cl.files.unfinished_name, without other suffixes.
_UNFINISHED = re.compile(r'\.(\d+)-\d+\.part(\.pth)?')


@register_backend('local', force=True, prefixes='')
class WholeFileBackend(LocalBackend):
    """What mmengine writes checkpoints with: under their final name they are whole."""

    def put(self, obj: bytes, filepath: str | os.PathLike) -> None:
        """Write a file.

        Args:
            obj: What is in it.
            filepath: Of the file.

        Raises:
            InputError: It cannot be written; what was there before stays.
        """
        with whole_file(filepath, 'wb') as file:
            file.write(obj)


def name_last_checkpoint(runner: Runner, path: str) -> None:
    """Write down what a resumed training is to start from.

    Args:
        runner: Of the training.
        path: Of the checkpoint, which is there.
    """
    with whole_file(os.path.join(runner.work_dir, 'last_checkpoint')) as file:
        file.write(path)


def newest_checkpoint(work_dir: str | os.PathLike) -> tuple[str | None, list[str]]:
    """What a training can go on from: its last checkpoint, or else the newest that is whole.

    Args:
        work_dir: Of the training.

    Returns:
        The path, None if there is none; and what was passed over on the way to it, as phrases.
    """
    passed_over = []
    named = _named(work_dir, passed_over)
    if named is not None and '://' in named:
        return named, []
    # mmengine writes the path as it was given: the folder may have been moved since.
    folders = [Path(work_dir)] + ([Path(named).parent] if named else [])
    paths = [path for folder in dict.fromkeys(folders) for path in _numbered(folder)]
    # Numbers alone would find what an earlier training left in the folder.
    paths.sort(key=lambda path: (path.stat().st_mtime_ns, _number(path)), reverse=True)
    if named is not None:
        moved = Path(work_dir) / Path(named).name
        paths = [path for path in (Path(named), moved) if os.path.isfile(path)] + paths
    for path in dict.fromkeys(paths):
        problem = _problem(path)
        if problem is None:
            return str(path), passed_over
        passed_over.append(problem)
    return None, passed_over


def remove_unfinished(folder: str | os.PathLike) -> None:
    """Remove the halves of checkpoints that processes left which were killed.

    Args:
        folder: Of a training, to which no other writes checkpoints.
    """
    with suppress(OSError):  # it may not be there yet
        for entry in list(os.scandir(folder)):
            match = _UNFINISHED.fullmatch(entry.name)
            if match and not is_running(int(match[1])):
                os.unlink(entry.path)


def _named(work_dir: str | os.PathLike, passed_over: list[str]) -> str | None:
    note = Path(work_dir) / 'last_checkpoint'
    try:
        named = note.read_text().strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        passed_over.append(f'{note} cannot be read ({error})')
        return None
    if not named or '\0' in named:
        passed_over.append(f'{note} is empty')
        return None
    if '://' not in named and not os.path.exists(named):
        passed_over.append(f'{named}, which {note} names, is not there')
    return named


def _numbered(folder: Path) -> Iterator[Path]:
    with suppress(OSError):
        for path in folder.iterdir():
            if _NUMBERED.fullmatch(path.name) and os.path.isfile(path):
                yield path


def _number(path: Path) -> int:
    return int(_NUMBERED.fullmatch(path.name)[1])


def _problem(path: Path) -> str | None:
    from mmvis_cl.engine.cli import check_checkpoint_file  # which needs the hooks

    try:
        check_checkpoint_file(str(path))
    except InputError:
        return f'{path} is no whole checkpoint'
    return None
