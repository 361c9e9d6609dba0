"""Lets mmengine load checkpoints by our reader, whatever path or address leads to them.

mmengine reads with ``torch.load``, in a function for each kind of address, and makes any object
where the safe way fails. Its module gets a torch whose ``load`` is ours.
"""

import importlib
import os
from types import ModuleType
from typing import Any
from urllib.parse import urlparse

import torch

from .reader import read_file


class _Torch(ModuleType):
    def __getattr__(self, name: str) -> object:
        return getattr(torch, name)

    @staticmethod
    def load(file: Any, map_location: Any = None, **_: Any) -> object:
        """What :func:`read_file` reads."""
        return read_file(file, map_location)


def load_url(
    url: str,
    model_dir: str | None = None,
    map_location: object = None,
    progress: bool = True,
    check_hash: bool = False,
    file_name: str | None = None,
) -> object:
    """Fetch a checkpoint into PyTorch's cache, if it is not there, and read it.

    Args: see :func:`torch.hub.load_state_dict_from_url`.
    """
    folder = model_dir or os.path.join(torch.hub.get_dir(), 'checkpoints')
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, file_name or os.path.basename(urlparse(url).path))
    if not os.path.exists(path):
        found = torch.hub.HASH_REGEX.search(os.path.basename(path)) if check_hash else None
        torch.hub.download_url_to_file(url, path, found and found[1], progress)
    return read_file(path, map_location)


def read_by_ours() -> None:
    """From now on, in this process."""
    module: Any = importlib.import_module('mmengine.runner.checkpoint')
    module.torch = _Torch('torch')
    module.load_url = load_url


def read_all_by_ours() -> None:
    """From now on for every ``torch.load`` of this process: what a command line tool asks for.

    So does what a module of the config loads, timm, or a loader that others registered. Programs
    that only import mmvis_cl keep their ``torch.load``.
    """
    torch.load = _Torch.load  # type: ignore[assignment]  # other names of arguments
