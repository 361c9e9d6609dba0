"""Reading a config file; what is wrong with it becomes one line."""

import os
import traceback
from pathlib import Path

from mmengine.config import Config

from mmvis_cl.config.options import set_options
from mmvis_cl.errors import InputError, shortened


def read_config(path: str | os.PathLike) -> Config:
    """Read a config file and its bases.

    What its ``custom_imports`` names is not imported yet.

    Args:
        path: Of the file.

    Returns:
        The config.

    Raises:
        InputError: The file or one of its bases is not there, or is no config.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise InputError(f'{path}: there is no such config file')
    try:
        return Config.fromfile(path, import_custom_modules=False)
    except InputError:
        raise
    except Exception as error:  # a config is code, which can raise anything
        raise _one_line(error, path) from error


def load_config(path: str, cfg_options: dict | None, work_dir: str | None, launcher: str) -> Config:
    """Read a config and apply the options of the command line.

    Args:
        path: Of the config file.
        cfg_options: ``key=value`` settings that override the file's.
        work_dir: Where logs and checkpoints go; the config's, or ``work_dirs/CONFIG_NAME``, if
            None.
        launcher: ``none``, ``pytorch``, ``slurm`` or ``mpi``.

    Returns:
        The config, ready for ``build_runner``.

    Raises:
        InputError: If there is no such file, it is no config, or an option cannot be set.
    """
    cfg = read_config(path)
    if cfg_options:
        set_options(cfg, cfg_options)
    cfg.launcher = launcher
    if work_dir is not None:
        cfg.work_dir = work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = os.path.join('work_dirs', Path(path).stem)
    return cfg


def _one_line(error: Exception, path: str) -> InputError:
    """What is wrong with which file: the config itself or one of its bases."""
    frames = list(traceback.walk_tb(error.__traceback__))
    # mmengine reads a copy of each file: the names of the originals are in its frames
    files = [
        os.path.abspath(frame.f_locals['filename'])
        for frame, _ in frames
        if frame.f_code.co_name in ('_file2dict', '_parse_lazy_import', '_is_lazy_import')
    ]
    files = list(dict.fromkeys(files)) or [os.path.abspath(path)]
    file = os.path.relpath(files[-1]) if files[-1].startswith(os.getcwd()) else files[-1]
    if isinstance(error, SyntaxError):
        cause = error.__cause__ or error.__context__ or error
        line = getattr(cause, 'lineno', None) or error.lineno
        text = (getattr(cause, 'msg', None) or str(error)).partition(' (<')[0]
        return InputError(f'{file}, line {line}: {text}; mend the config file')
    if isinstance(error, FileNotFoundError) and len(files) > 1:
        return InputError(f'{files[-2]}: its _base_ {files[-1]} is not there; mend the path')
    if isinstance(error, RecursionError):
        return InputError(f'{file}: is a _base_ of itself; take it out of _base_')
    code = {os.path.abspath(name): line for name, line in _lines(frames)}
    place = f'{file}, line {code[files[-1]]}' if files[-1] in code else file
    text = shortened(error) or 'it cannot be run'
    return InputError(f'{place}: {type(error).__name__}: {text}; mend the config file')


def _lines(frames: list) -> list[tuple[str, int]]:
    return [(frame.f_code.co_filename, line) for frame, line in frames]
