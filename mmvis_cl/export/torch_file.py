"""A package of torch's ahead-of-time compiler (AOTInductor), which holds machine code."""

import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import torch

from mmvis_cl.errors import InputError, shortened

from .description import KEY, Description, read_description
from .own_programs import check_is_own, remember
from .runtimes import cannot_run

_LONGEST = 1 << 20  # bytes of a description


class TorchFile:
    """See :class:`~mmvis_cl.export.runtimes.Runtime`."""

    def __init__(self, name: str, device: torch.device | None) -> None:
        if device is not None and device.type != 'cpu':
            raise InputError(f'{name}: was compiled for a CPU; give --device cpu')
        self.name = name
        self.description = read_description(_text(name), name)
        check_is_own(name)
        try:
            self._package = torch._inductor.aoti_load_package(name)
        except Exception as error:  # of the loader of libraries, of another torch
            raise InputError(
                f'{name}: torch {torch.__version__} cannot load it ({shortened(error, 150)}); '
                'export it again on this machine'
            ) from error

    def __call__(self, frames: np.ndarray, size: np.ndarray) -> list[np.ndarray]:
        """See :class:`~mmvis_cl.export.runtimes.Runtime`."""
        try:
            found = self._package(torch.from_numpy(frames), torch.from_numpy(size))
        except Exception as error:
            raise cannot_run(self.name, 'torch', error) from error
        return [tensor.numpy() for tensor in found]


open_file = TorchFile


def _text(name: str) -> str | None:
    """The description in a package; nothing in it is run."""
    try:
        with zipfile.ZipFile(name) as archive:
            entries = [e for e in archive.infolist() if e.filename.endswith(f'extra/{KEY}.json')]
            if not entries or entries[0].file_size > _LONGEST:
                return None
            return archive.read(entries[0]).decode()
    except (OSError, zipfile.BadZipFile, ValueError, RuntimeError, NotImplementedError) as error:
        raise InputError(
            f'{name}: is no package of torch, or was cut off; copy or export it again'
        ) from error


def write_package(
    program: torch.export.ExportedProgram, part: Path, description: Description
) -> None:
    """Compile a network and write it down; from then on its file may be run here.

    Raises:
        InputError: There is no compiler, or it fails.
    """
    compiler = os.environ.get('CXX', 'g++')
    if shutil.which(compiler) is None:
        raise InputError(
            f'--backend torch: there is no C++ compiler ({compiler}); install one, name it in '
            'CXX, or export an .onnx file'
        )
    if not hasattr(torch._inductor, 'aoti_compile_and_package'):
        raise InputError(
            f'--backend torch: torch {torch.__version__} cannot write packages; install torch 2.6 '
            'or newer'
        )
    try:
        torch._inductor.aoti_compile_and_package(program, package_path=str(part))
    except Exception as error:  # of two compilers
        raise InputError(
            f'--backend torch: torch {torch.__version__} cannot compile the network '
            f'({shortened(error, 200)}); export an .onnx file'
        ) from error
    with zipfile.ZipFile(part, 'a') as archive:
        folder = archive.namelist()[0].partition('/')[0]
        archive.writestr(f'{folder}/extra/{KEY}.json', description.to_json())
    remember(part)
