"""An ONNX file, by ONNX Runtime."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmvis_cl.errors import InputError, quoted, shortened

from .description import KEY, read_description
from .network import OUTPUTS
from .runtimes import cannot_run, library

_STANDARD = {'', 'ai.onnx'}


class OnnxFile:
    """See :class:`~mmvis_cl.export.runtimes.Runtime`."""

    def __init__(self, name: str, device: torch.device | None) -> None:
        onnx = library('onnx', 'onnx', f'{name}: an ONNX file')
        runtime = library('onnxruntime', 'onnx', f'{name}: an ONNX file')
        self.name = name
        self.description = read_description(_checked(onnx, name), name)
        self._outputs = list(OUTPUTS[self.description.network])
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4  # what goes wrong is raised as well
        try:
            # where it really lies: weights beside it are looked for there
            self._session = runtime.InferenceSession(
                os.path.realpath(name), options, providers=_providers(runtime, name, device)
            )
        except InputError:
            raise
        except Exception as error:  # of its own kinds, which it does not document
            raise InputError(
                f'{name}: ONNX Runtime cannot load it ({shortened(error, 150)}); export it again'
            ) from error
        given = {value.name for value in self._session.get_inputs()}
        made = {value.name for value in self._session.get_outputs()}
        if given != {'frames', 'size'} or not made.issuperset(self._outputs):
            raise InputError(
                f'{name}: its inputs or outputs are not those of its description; export it again'
            )

    def __call__(self, frames: np.ndarray, size: np.ndarray) -> list[np.ndarray]:
        """See :class:`~mmvis_cl.export.runtimes.Runtime`."""
        try:
            found: list[np.ndarray] = self._session.run(
                self._outputs, dict(frames=frames, size=size)
            )
        except Exception as error:  # of its own kinds
            raise cannot_run(self.name, 'ONNX Runtime', error) from error
        return found


open_file = OnnxFile


def _providers(runtime: Any, name: str, device: torch.device | None) -> list[Any]:
    cuda, cpu = 'CUDAExecutionProvider', 'CPUExecutionProvider'
    there = cuda in runtime.get_available_providers()
    if device is None:
        return [cuda, cpu] if there else [cpu]
    if device.type == 'cpu':
        return [cpu]
    if device.type != 'cuda' or not there:
        raise InputError(
            f'{name}: this onnxruntime runs nothing on {device}; install onnxruntime-gpu for '
            'CUDA, or give --device cpu'
        )
    return [(cuda, dict(device_id=device.index or 0)), cpu]


def _checked(onnx: Any, name: str) -> str | None:
    """The description of a file of standard operations that reaches into no other folder.

    Raises:
        InputError: It is no ONNX file, or something else is in it.
    """
    try:
        model = onnx.load(name, load_external_data=False)
    except Exception as error:  # of protobuf
        raise InputError(
            f'{name}: is no ONNX file, or was cut off; copy or export it again'
        ) from error
    parts = list(_messages(model))
    domains = {part.domain for part in parts if isinstance(part, onnx.NodeProto)}
    domains |= {function.domain or 'its own functions' for function in model.functions}
    strange = sorted(domains - _STANDARD)
    if strange:
        raise InputError(
            f'{name}: has operations of {quoted(strange[0])}, which are a program of somebody; '
            'give a file of standard operations'
        )
    folder = Path(name).resolve().parent
    for part in parts:
        if isinstance(part, onnx.TensorProto):
            for entry in part.external_data:
                if entry.key == 'location':
                    _check_beside(entry.value, folder, name)
    if not model.graph.node:
        raise InputError(f'{name}: is no ONNX file, or was cut off; copy or export it again')
    return next((entry.value for entry in model.metadata_props if entry.key == KEY), None)


def _check_beside(location: str, folder: Path, name: str) -> None:
    """Refuse weights that are not in the folder of the file, also those behind a link."""
    try:
        file = (folder / location).resolve()
    except (ValueError, OSError, RuntimeError):  # a null character, a link to itself
        file = Path('/')
    if os.path.isabs(location) or '..' in Path(location).parts or not file.is_relative_to(folder):
        raise InputError(
            f'{name}: its weights are to be read from {quoted(location)}, outside of its folder; '
            'give a file whose weights lie beside it'
        )
    if not os.path.isfile(file):
        raise InputError(
            f'{name}: its weights, {quoted(location)}, are missing; copy them beside it'
        )


def _messages(message: Any) -> Iterator[Any]:
    """A part of an ONNX file and all parts in it, however deep."""
    waiting = [message]
    while waiting:
        part = waiting.pop()
        yield part
        for field, value in part.ListFields():
            if field.type == field.TYPE_MESSAGE:
                waiting.extend([value] if hasattr(value, 'ListFields') else value)
