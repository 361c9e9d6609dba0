"""The programs that run an exported network: frames in, arrays out."""

import importlib
import os
import zipfile
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from mmvis_cl.errors import InputError, shortened

from .model_file import KEY, SUFFIXES, Description, read_description

_STANDARD_DOMAINS = {'', 'ai.onnx', 'com.microsoft'}  # the last has the quantised operations
TRUST = 'MMVIS_CL_TRUST_COMPILED'


class Runtime(Protocol):
    """Runs a file.

    Attributes:
        description: What the file says of itself.
    """

    description: Description

    def __call__(self, frames: np.ndarray, size: np.ndarray) -> list[np.ndarray]:
        """The outputs, in the order of :class:`NetworkOutputs`.

        Args:
            frames: (B, 3, H, W) float32, normalised and padded.
            size: (2,) int64, h and w without padding.
        """


def open_model(path: str | os.PathLike, device: torch.device) -> Runtime:
    """Open an exported model by the program that its ending names.

    Raises:
        InputError: It is missing, broken, no model of ours, or its program is not installed.
    """
    name = os.fspath(path)
    if not os.path.isfile(name):
        raise InputError(f'{name}: there is no such model file; give the path of one')
    kind = SUFFIXES[os.path.splitext(name)[1].lower()]
    opened = dict(onnx=OnnxRuntime, openvino=OpenVino, torch=CompiledPackage)[kind]
    runtime: Runtime = opened(name, device)
    return runtime


def library(module: str, extra: str, what: str) -> Any:
    """Import a module that is not installed with the package.

    Raises:
        InputError: It is not there.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f'{what} needs {module.partition(".")[0]} ({error}); pip install "mmvis_cl[{extra}]"'
        ) from error


class OnnxRuntime:
    """A file of ONNX, by ONNX Runtime."""

    def __init__(self, name: str, device: torch.device) -> None:
        onnx = library('onnx', 'onnx', f'{name}: an ONNX file')
        runtime = library('onnxruntime', 'onnx', f'{name}: an ONNX file')
        self.description = read_description(_checked_onnx(onnx, name), name)
        provider = 'CUDAExecutionProvider' if device.type == 'cuda' else 'CPUExecutionProvider'
        if provider not in runtime.get_available_providers():
            raise InputError(
                f'{name}: this onnxruntime has no {provider}; install onnxruntime-gpu, or give '
                '--device cpu'
            )
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        try:
            self._session = runtime.InferenceSession(name, options, providers=[provider])
        except Exception as error:  # of its own kinds, which it does not document
            raise InputError(
                f'{name}: ONNX Runtime cannot load it ({shortened(error, 150)}); export it again'
            ) from error

    def __call__(self, frames: np.ndarray, size: np.ndarray) -> list[np.ndarray]:
        """See :class:`Runtime`."""
        found: list[np.ndarray] = self._session.run(None, dict(frames=frames, size=size))
        return found


def _checked_onnx(onnx: Any, name: str) -> str | None:
    """The description of a file of standard operations that reaches into no other folder."""
    try:
        model = onnx.load(name, load_external_data=False)
    except Exception as error:  # of protobuf
        raise InputError(
            f'{name}: is no ONNX file, or was cut off; copy or export it again'
        ) from error
    domains = {node.domain for node in _nodes(model.graph)} | {
        node.domain for function in model.functions for node in function.node
    }
    strange = sorted(domains - _STANDARD_DOMAINS - {f.domain for f in model.functions})
    if strange:
        raise InputError(
            f'{name}: has operations of {strange[0]!r}, which are a program of somebody; give a '
            'file of standard operations'
        )
    folder = Path(name).resolve().parent
    for tensor in _tensors(model.graph):
        for entry in tensor.external_data:
            if entry.key != 'location':
                continue
            file = (folder / entry.value).resolve()
            if not file.is_relative_to(folder) or os.path.isabs(entry.value):
                raise InputError(
                    f'{name}: its weights are to be read from {entry.value}, outside of its '
                    'folder; give a file whose weights lie beside it'
                )
            if not os.path.isfile(file):
                raise InputError(f'{name}: its weights, {file}, are missing; copy them beside it')
    return next((entry.value for entry in model.metadata_props if entry.key == KEY), None)


def _nodes(graph: Any) -> Any:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _tensors(graph: Any) -> Any:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)


class OpenVino:
    """A model of OpenVINO, .xml with a .bin beside it."""

    def __init__(self, name: str, device: torch.device) -> None:
        openvino = library('openvino', 'openvino', f'{name}: a model of OpenVINO')
        if device.type == 'cuda':
            raise InputError(f'{name}: OpenVINO runs on no NVIDIA GPU; give --device cpu')
        weights = os.path.splitext(name)[0] + '.bin'
        if not os.path.isfile(weights):
            raise InputError(f'{name}: its weights, {weights}, are missing; copy them beside it')
        core = openvino.Core()
        try:
            model = core.read_model(name)
            text = model.get_rt_info([KEY]).astype(str) if model.has_rt_info([KEY]) else None
        except Exception as error:  # of its own kinds
            raise InputError(
                f'{name}: is no model of OpenVINO, or was cut off; copy or export it again'
            ) from error
        self.description = read_description(text, name)
        hint = dict(fp32='f32', fp16='f32', bf16='bf16')[self.description.precision]
        config = {
            'INFERENCE_PRECISION_HINT': hint,
            'INFERENCE_NUM_THREADS': torch.get_num_threads(),
            'PERFORMANCE_HINT': 'LATENCY',
        }
        self._model = core.compile_model(model, 'CPU', config)

    def __call__(self, frames: np.ndarray, size: np.ndarray) -> list[np.ndarray]:
        """See :class:`Runtime`."""
        return list(self._model(dict(frames=frames, size=size)).values())


class CompiledPackage:
    """A package of torch's ahead-of-time compiler, which holds machine code."""

    def __init__(self, name: str, device: torch.device) -> None:
        if os.environ.get(TRUST) != '1':
            raise InputError(
                f'{name}: is compiled, and running it runs its code; if you made it yourself, set '
                f'{TRUST}=1'
            )
        try:
            with zipfile.ZipFile(name) as archive:
                texts = [n for n in archive.namelist() if n.endswith(f'extra/{KEY}.json')]
                text = archive.read(texts[0]).decode() if texts else None
        except (OSError, zipfile.BadZipFile) as error:
            raise InputError(
                f'{name}: is no package of torch, or was cut off; copy or export it again'
            ) from error
        self.description = read_description(text, name)
        try:
            self._package = torch._inductor.aoti_load_package(name)
        except Exception as error:  # of the loader of libraries, of another torch
            raise InputError(
                f'{name}: torch {torch.__version__} cannot load it ({shortened(error, 150)}); '
                'export it again on this machine'
            ) from error
        self._device = device

    def __call__(self, frames: np.ndarray, size: np.ndarray) -> list[np.ndarray]:
        """See :class:`Runtime`."""
        given = (torch.from_numpy(frames), torch.from_numpy(size))
        found = self._package(*(tensor.to(self._device) for tensor in given))
        return [tensor.float().cpu().numpy() for tensor in found]
