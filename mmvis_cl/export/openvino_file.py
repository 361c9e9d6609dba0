"""A model of OpenVINO: .xml with a .bin beside it."""

import os

import numpy as np
import torch

from mmvis_cl.errors import InputError, shortened

from .description import KEY, read_description
from .network import OUTPUTS
from .runtimes import cannot_run, library

# Weights in half precision are made float32 when the model is loaded; bfloat16 is of products.
_PRODUCTS = dict(fp32='f32', fp16='f32', bf16='bf16', int8='f32')


class OpenVinoFile:
    """See :class:`~mmvis_cl.export.runtimes.Runtime`."""

    def __init__(self, name: str, device: torch.device | None) -> None:
        openvino = library('openvino', 'openvino', f'{name}: a model of OpenVINO')
        if device is not None and device.type != 'cpu':
            raise InputError(f'{name}: OpenVINO runs nothing on {device}; give --device cpu')
        weights = os.path.splitext(name)[0] + '.bin'
        if not os.path.isfile(weights):
            raise InputError(f'{name}: its weights, {weights}, are missing; copy them beside it')
        if os.path.dirname(os.path.realpath(weights)) != os.path.dirname(os.path.realpath(name)):
            raise InputError(
                f'{name}: its weights, {weights}, are a link out of its folder; copy them beside it'
            )
        self.name = name
        core = openvino.Core()
        try:
            model = core.read_model(name, weights)
            text = model.get_rt_info([KEY]).astype(str) if model.has_rt_info([KEY]) else None
        except Exception as error:  # of its own kinds
            raise InputError(
                f'{name}: is no model of OpenVINO, or was cut off; copy or export it again'
            ) from error
        self.description = read_description(text, name)
        config = {
            'INFERENCE_PRECISION_HINT': _PRODUCTS[self.description.precision],
            'INFERENCE_NUM_THREADS': torch.get_num_threads(),
            'PERFORMANCE_HINT': 'LATENCY',
        }
        try:
            compiled = core.compile_model(model, 'CPU', config)
            self._outputs = [compiled.output(o) for o in OUTPUTS[self.description.network]]
            self._request = compiled.create_infer_request()
        except Exception as error:
            raise InputError(
                f'{name}: OpenVINO cannot load it ({shortened(error, 150)}); export it again'
            ) from error

    def __call__(self, frames: np.ndarray, size: np.ndarray) -> list[np.ndarray]:
        """See :class:`~mmvis_cl.export.runtimes.Runtime`."""
        try:
            found = self._request.infer(dict(frames=frames, size=size))
        except Exception as error:
            raise cannot_run(self.name, 'OpenVINO', error) from error
        return [found[output] for output in self._outputs]


open_file = OpenVinoFile
