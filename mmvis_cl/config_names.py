"""Configs that are named instead of given by path."""

import difflib
import os
from pathlib import Path

from mmvis_cl.errors import InputError

_PACKAGE = Path(__file__).parent


def config_folder() -> Path:
    """Where the configs lie: in the installed package, or beside it in a checkout.

    Raises:
        InputError: They are in neither place.
    """
    # A checkout's own configs come first: .mim may be left from a build.
    for folder in (_PACKAGE.parent / 'configs', _PACKAGE / '.mim' / 'configs'):
        if os.path.isdir(folder / 'vis_cl'):
            return folder
    raise InputError(
        f'{_PACKAGE}: this installation has no configs; install the package anew, or give the path '
        'of a config file'
    )


def find_config(name: str | os.PathLike) -> Path:
    """The file of a config.

    Args:
        name: Path of a file, or the name of one of the package's configs: ``r50_ytvis21``,
            ``r50_ytvis21.py``, ``vis_cl/r50_ytvis21`` or ``configs/vis_cl/r50_ytvis21.py``. Without
            a folder those of ``ctvis``, which have the same names, are not meant.

    Returns:
        The path.

    Raises:
        InputError: There is no such config, or there are several of this name.
    """
    path = Path(name)
    if os.path.isfile(path):
        return path
    folder = config_folder()
    known = {
        file.relative_to(folder).with_suffix('').as_posix(): file
        for file in sorted(folder.rglob('*.py'))
        if '_base_' not in file.relative_to(folder).parts
    }
    wanted = path.as_posix().removesuffix('.py').removeprefix('./').removeprefix('configs/')
    found = [key for key in known if f'/{key}'.endswith(f'/{wanted}')]
    # CTVIS's have the same names, in a folder of their own
    found = [key for key in found if not key.startswith('ctvis/')] or found
    if len(found) == 1:
        return known[found[0]]
    if found:
        raise InputError(f'config {name}: there are several, give one of {", ".join(found)}')
    # of those that are there the ones that track videos, neither comparisons nor image networks
    keys = [key.split('/')[-1] for key in known if key.startswith('vis_cl/')]
    keys = [key for key in keys if not key.endswith('_coco')]
    close = difflib.get_close_matches(wanted.split('/')[-1], keys, n=3, cutoff=0.5)
    raise InputError(
        f'config {name}: there is no such file, and no config of this name comes with mmvis_cl; '
        + (f'near it are {", ".join(close)}' if close else f'known are {", ".join(sorted(keys))}')
    )
