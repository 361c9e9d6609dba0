"""The programs that run an exported network: frames in, arrays out."""

import importlib
import os
from typing import Any, Protocol

import numpy as np
import torch

from mmvis_cl.errors import InputError, shortened
from mmvis_cl.weights import weights_file

from .description import Description
from .model_file import SUFFIXES


class Runtime(Protocol):
    """Runs a file.

    Attributes:
        name: Of the file.
        description: What the file says of itself.
    """

    name: str
    description: Description

    def __call__(self, frames: np.ndarray, size: np.ndarray) -> list[np.ndarray]:
        """The outputs, in the order of :data:`~mmvis_cl.export.network.OUTPUTS`.

        Args:
            frames: (B, 3, H, W) float32, normalised and padded.
            size: (2,) int64, h and w without padding.
        """


def open_model(path: str | os.PathLike, device: torch.device | None) -> Runtime:
    """Open an exported model by the program that its ending names.

    Args:
        path: Of the file, or its address.
        device: Where it shall run; where the program can if None, on a GPU rather than the CPU.

    Raises:
        InputError: It is missing, broken, no model of ours, or its program is not installed or
            cannot run there.
    """
    name = weights_file(path)
    if not os.path.isfile(name):
        raise InputError(f'{name}: there is no such model file; give the path of one')
    kind = SUFFIXES[os.path.splitext(name)[1].lower()]
    module = importlib.import_module(f'.{kind}_file', __package__)
    runtime: Runtime = module.open_file(name, device)
    return runtime


def library(module: str, extra: str, what: str) -> Any:
    """Import a module that is not installed with the package.

    Args:
        module: Its name.
        extra: Of ours, that installs it; the name of a package of its own if we have none.
        what: Needs it.

    Raises:
        InputError: It is not there.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = extra if extra == 'tensorrt' else f'"mmvis_cl[{extra}]"'
        raise InputError(
            f'{what} needs {module.partition(".")[0]} ({shortened(error, 150)}); '
            f'pip install {package}'
        ) from error


def cannot_run(name: str, program: str, error: Exception) -> InputError:
    """What to raise where a program fails while it runs a file."""
    return InputError(
        f'{name}: {program} cannot run it on these frames ({shortened(error, 200)}); export it '
        'again, with another --size or --batch'
    )
