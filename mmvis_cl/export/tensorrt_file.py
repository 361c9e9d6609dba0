"""An engine of TensorRT, after a head of ours with its description.

Written from the documentation of TensorRT 10; it has not been run, for lack of a GPU with it.
"""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmvis_cl.errors import InputError, shortened
from mmvis_cl.files import whole_file

from .description import Description, read_description
from .network import OUTPUTS
from .own_programs import check_is_own, remember
from .runtimes import cannot_run, library

_START = b'mmvis_cl TensorRT\n'
_LENGTH = struct.Struct('<Q')
_LONGEST = 1 << 20  # bytes of a description
# Height, width and number of frames that an engine of any size and number is best at.
_USUAL, _LARGEST = (480, 864, 1), (1344, 1344, 8)
_LEAST = 64, 64, 1


class TensorRTFile:
    """See :class:`~mmvis_cl.export.runtimes.Runtime`."""

    def __init__(self, name: str, device: torch.device | None) -> None:
        self.name = name
        description, engine = _read(name)
        self.description = read_description(description, name)
        check_is_own(name)
        tensorrt = library('tensorrt', 'tensorrt', f'{name}: an engine of TensorRT')
        if not torch.cuda.is_available() or (device is not None and device.type != 'cuda'):
            raise InputError(f'{name}: TensorRT needs an NVIDIA GPU; export an .onnx file for CPUs')
        self._device = torch.device('cuda') if device is None else device
        self._outputs = OUTPUTS[self.description.network]
        with torch.cuda.device(self._device):
            runtime = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.ERROR))
            self._engine = runtime.deserialize_cuda_engine(engine)
            if self._engine is None:
                raise InputError(
                    f'{name}: TensorRT {tensorrt.__version__} cannot load it, as an engine fits '
                    'one version and one GPU; export it again on this machine'
                )
            self._context = self._engine.create_execution_context()

    def __call__(self, frames: np.ndarray, size: np.ndarray) -> list[np.ndarray]:
        """See :class:`~mmvis_cl.export.runtimes.Runtime`."""
        context = self._context
        with torch.cuda.device(self._device):
            tensors = dict(
                frames=torch.from_numpy(frames).to(self._device),
                size=torch.from_numpy(size).to(self._device),
            )
            for name, tensor in tensors.items():
                if not context.set_input_shape(name, tuple(tensor.shape)):
                    error = ValueError(f'{name} of {tuple(tensor.shape)} is out of its range')
                    raise cannot_run(self.name, 'TensorRT', error)
            for name in self._outputs:
                shape = tuple(context.get_tensor_shape(name))
                tensors[name] = torch.empty(shape, dtype=torch.float32, device=self._device)
            for name, tensor in tensors.items():
                context.set_tensor_address(name, tensor.data_ptr())
            stream = torch.cuda.current_stream()
            if not context.execute_async_v3(stream.cuda_stream):
                raise cannot_run(self.name, 'TensorRT', RuntimeError('it gives no reason'))
            return [tensors[name].cpu().numpy() for name in self._outputs]


open_file = TensorRTFile


def _read(name: str) -> tuple[str, bytes]:
    with open(name, 'rb') as file:
        start = file.read(len(_START))
        length = file.read(_LENGTH.size)
        size = _LENGTH.unpack(length)[0] if len(length) == _LENGTH.size else 0
        text = file.read(size) if 0 < size <= _LONGEST else b''
        engine = file.read()
    if start != _START or not text or not engine:
        raise InputError(
            f'{name}: is no engine of mmvis-cl export, or was cut off; copy or export it again'
        )
    try:
        return text.decode(), engine
    except UnicodeDecodeError as error:
        raise InputError(f'{name}: its description is broken; export it again') from error


def write_engine(onnx_file: Path, part: Path, description: Description) -> None:
    """Make an engine for this GPU of an ONNX file; from then on it may be run here.

    Raises:
        InputError: There is no GPU, or TensorRT cannot do it.
    """
    tensorrt = library('tensorrt', 'tensorrt', '--backend tensorrt')
    if not torch.cuda.is_available():
        raise InputError(
            '--backend tensorrt: an engine is made on the GPU that runs it, and there is none; '
            'export an .onnx file'
        )
    logger = tensorrt.Logger(tensorrt.Logger.ERROR)
    builder = tensorrt.Builder(logger)
    network = builder.create_network(0)
    parser = tensorrt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(onnx_file)):
        reason = parser.get_error(0) if parser.num_errors else 'it gives no reason'
        raise InputError(
            f'--backend tensorrt: TensorRT {tensorrt.__version__} does not take the network '
            f'({shortened(reason, 200)}); give a newer one, or export an .onnx file'
        )
    config = builder.create_builder_config()
    if description.precision != 'fp32':
        config.set_flag(getattr(tensorrt.BuilderFlag, description.precision.upper()))
    config.add_optimization_profile(_profile(builder, description))
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise InputError(
            '--backend tensorrt: no engine could be made, perhaps for lack of memory; give a '
            '--size and a --batch'
        )
    text = description.to_json().encode()
    with whole_file(part, 'wb') as file:
        file.write(_START + _LENGTH.pack(len(text)) + text)
        file.write(memoryview(plan))
    remember(part)


def _profile(builder: Any, description: Description) -> Any:
    """The least, usual and largest frames that the engine takes."""
    shapes = []
    for height, width, batch in (_LEAST, _USUAL, _LARGEST):
        size = description.size or (height, width)
        shapes.append((description.batch or batch, 3, *size))
    profile = builder.create_optimization_profile()
    profile.set_shape('frames', *shapes)
    return profile
