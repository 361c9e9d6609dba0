"""Writes the image network of a trained model to a file of its own."""

import logging
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor

from mmvis_cl.errors import InputError, cannot_write, shortened
from mmvis_cl.files import finish
from mmvis_cl.models.dense_heads.dynamic_mask_head import DynamicMaskHead
from mmvis_cl.models.vis.contrastive_vis import ContrastiveVIS

from .description import KEY, Description, unsound_field
from .model_file import MOST, MOST_FRAMES, MULTIPLE
from .network import OUTPUTS, FrameNetwork, network_of
from .runtimes import library

OPSET = 20
# Where pixels are told apart, and what has no kernel for half precision.
_FLOAT32 = 'GridSample', 'Range', 'Floor', 'CumSum'
_QUANTISED = 'MatMul', 'Gemm'
# Of the model's test_cfg: how PyTorch runs the network.
_OF_TORCH = 'autocast', 'cuda_graph', 'tf32'


def describe(
    model: ContrastiveVIS,
    cfg: Config,
    classes: Sequence[str],
    size: tuple[int, int] | None,
    batch: int | None,
    precision: str,
) -> Description:
    """What a file of a model must say of itself.

    Args:
        model: Built from ``cfg``.
        cfg: Config.
        classes: Names of its labels.
        size: H, W of the padded frames; None if any.
        batch: Frames of a pass; None if any.
        precision: Of the network.

    Raises:
        InputError: The config has something that cannot be said in a file.
    """
    head = getattr(model.detector, 'mask_head', None)
    if isinstance(head, DynamicMaskHead):
        drawn = dict(
            feat_channels=head.feat_convs[-1].out_channels,
            dynamic_channels=head.weight_shapes[0][0],
            feat_stride=head.feat_stride,
            out_stride=head.out_stride,
        )
    else:
        drawn = {}
    plain: Any = Config(
        dict(detector=model.detector.test_cfg, tracker=cfg.model.tracker, test_cfg=model.test_cfg)
    ).to_dict()
    preprocessor = model.data_preprocessor
    description = Description(
        type(model.detector).__name__,
        list(classes),
        preprocessor.mean.flatten().tolist(),
        preprocessor.std.flatten().tolist(),
        _resize_of(cfg.test_dataloader.dataset.pipeline),
        plain['detector'],
        drawn,
        _without_scopes(plain['tracker']),
        {key: value for key, value in plain['test_cfg'].items() if key not in _OF_TORCH},
        None if size is None else list(size),
        batch,
        precision,
    )
    wrong = unsound_field(description._asdict())
    if wrong is not None:
        raise InputError(
            f'export: the {wrong} of this config is none that a file can hold; take that of a '
            'config in configs/vis_cl or configs/ctvis'
        )
    if preprocessor.pad_size_divisor != MULTIPLE or not preprocessor._channel_conversion:
        raise InputError(
            'export: model.data_preprocessor must have pad_size_divisor=32 and bgr_to_rgb=True; '
            'set them'
        )
    return description


def _resize_of(pipeline: list[dict]) -> dict:
    """The one step of a test pipeline that is not loading or packing."""
    steps = [step for outer in pipeline for step in outer.get('transforms', [outer])]
    kinds = [str(step['type']).rpartition('.')[2] for step in steps]
    others = [
        (kind, step)
        for kind, step in zip(kinds, steps, strict=True)
        if not kind.startswith(('Load', 'Pack'))
    ]
    known = {'type', 'scale', 'keep_ratio'}
    if len(others) != 1 or not set(others[0][1]) <= known or 'scale' not in others[0][1]:
        names = ', '.join(kind for kind, _ in others) or 'nothing'
        raise InputError(
            f'export: the test pipeline has {names} between loading and packing; a file can hold '
            'one AlignedResize or Resize with scale and keep_ratio, so take the others out'
        )
    ((kind, step),) = others
    scale = step['scale']
    return dict(
        type=kind,
        scale=[scale, scale] if isinstance(scale, int) else list(scale),
        keep_ratio=step.get('keep_ratio', kind == 'AlignedResize'),
    )


def _without_scopes(part: dict) -> dict:
    """A part of a config, whose types have their names alone."""
    part = {k: _without_scopes(v) if isinstance(v, dict) else v for k, v in part.items()}
    if isinstance(part.get('type'), str):
        part['type'] = part['type'].removeprefix('mmvis_cl.')
    return part


def export(
    model: ContrastiveVIS, description: Description, out: str | os.PathLike, backend: str
) -> list[Path]:
    """Write a file; it gets its name when it is whole.

    Args:
        model: In float32, not prepared for inference.
        description: See :func:`describe`.
        out: The file, with the ending of the backend.
        backend: 'onnx', 'openvino', 'torch' or 'tensorrt'.

    Returns:
        The files that were written, ``out`` last.

    Raises:
        InputError: The model has a network that cannot be exported, a program is not installed, or
            the file cannot be written.
    """
    out = Path(out)
    if backend != 'torch':
        library('onnx', 'onnx', f'--backend {backend}')
        library('onnxscript', 'onnx', f'--backend {backend}')
    for name in {'openvino', 'tensorrt'} & {backend}:
        library(name, name, f'--backend {backend}')
    program = _traced(network_of(model), description)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix='.unfinished-', dir=out.parent) as folder:
            part = Path(folder) / out.name
            _WRITERS[backend](program, part, description)
            # what a file needs beside it goes first
            files = sorted(Path(folder).iterdir(), key=lambda file: file == part)
            for file in files:
                finish(file, out.with_name(file.name))
    except OSError as error:
        raise cannot_write(out, error) from error
    return [out.with_name(file.name) for file in files]


def _traced(network: FrameNetwork, description: Description) -> torch.export.ExportedProgram:
    """The network as a graph, of any or a fixed number and size of frames."""
    from torch.export import Dim

    height, width = description.size or (4 * MULTIPLE, 7 * MULTIPLE)
    frames = torch.zeros(description.batch or 2, 3, height, width)
    size = torch.tensor([height - 9, width - 5])
    dynamic: dict[int, Any] = {}
    if description.batch is None:
        dynamic[0] = Dim('batch', min=1, max=MOST_FRAMES)
    if description.size is None:
        most = MOST // MULTIPLE
        dynamic[2] = MULTIPLE * Dim('rows', min=2, max=most)
        dynamic[3] = MULTIPLE * Dim('columns', min=2, max=most)
    half = description.precision == 'bf16'
    try:
        with torch.no_grad():
            return torch.export.export(
                _Autocast(network) if half else network,
                (frames, size),
                dynamic_shapes=(dynamic, {}),
                strict=False,
            )
    except Exception as error:  # of the compiler, which has many
        raise InputError(
            f'torch {torch.__version__} cannot trace this network ({shortened(error, 200)}); '
            'export it with a --size and a --batch, or with a newer torch'
        ) from error


class _Autocast(torch.nn.Module):
    """A network in bfloat16, but for what autocast leaves in float32."""

    def __init__(self, network: FrameNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor, size: Tensor) -> tuple[Tensor, ...]:
        with torch.autocast(frames.device.type, torch.bfloat16):
            found = self.network(frames, size)
        return tuple(output.float() for output in found)


def _write_onnx(
    program: torch.export.ExportedProgram, part: Path, description: Description
) -> None:
    for name in ('onnxscript', 'onnx_ir'):  # they tell of each constant that they do not fold
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        written = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=['frames', 'size'],
            output_names=list(OUTPUTS[description.network]),
            verbose=False,
        )
    except Exception as error:  # of the exporter, which has many
        raise InputError(
            f"torch {torch.__version__} cannot write this network's operations as ONNX "
            f'({shortened(error, 200)}); use another backbone, or a newer torch and onnxscript'
        ) from error
    graph = written.model.graph
    for one in (graph, *graph.all_nodes()):  # where each comes from, with our paths
        one.metadata_props.clear()
    written.model.metadata_props[KEY] = description.to_json()
    # a protocol buffer has at most 2 GB: larger weights go into a file beside it
    weights = sum(value.nbytes for value in program.state_dict.values())
    written.save(str(part), external_data=weights > 1.5e9)
    if description.precision == 'fp16':
        _halve(part)
    elif description.precision == 'int8':
        _quantise(part)


def _halve(file: Path) -> None:
    """Most of an ONNX file in half precision; inputs and outputs stay in float32."""
    onnx = library('onnx', 'onnx', '--precision fp16')
    float16 = library('onnxruntime.transformers.float16', 'onnx', '--precision fp16')
    half = float16.convert_float_to_float16(
        onnx.load(str(file)),
        keep_io_types=True,
        op_block_list=[*float16.DEFAULT_OP_BLOCK_LIST, *_FLOAT32],
    )
    onnx.save(half, str(file))


def _quantise(file: Path) -> None:
    """The products of an ONNX file in int8: weights as they are kept, inputs as they come."""
    quantization = library('onnxruntime.quantization', 'onnx', '--precision int8')
    quantization.quantize_dynamic(
        str(file),
        str(file),
        op_types_to_quantize=list(_QUANTISED),
        weight_type=quantization.QuantType.QInt8,
        per_channel=True,
    )


def _write_openvino(
    program: torch.export.ExportedProgram, part: Path, description: Description
) -> None:
    openvino = library('openvino', 'openvino', '--backend openvino')
    between = part.with_suffix('.onnx')
    int8 = description.precision == 'int8'
    _write_onnx(program, between, description._replace(precision='int8' if int8 else 'fp32'))
    model = openvino.convert_model(str(between))
    model.set_rt_info(description.to_json(), [KEY])
    openvino.save_model(model, str(part), compress_to_fp16=description.precision == 'fp16')
    for file in part.parent.glob(f'{between.name}*'):
        file.unlink()


def _write_torch(
    program: torch.export.ExportedProgram, part: Path, description: Description
) -> None:
    from .torch_file import write_package

    write_package(program, part, description)


def _write_tensorrt(
    program: torch.export.ExportedProgram, part: Path, description: Description
) -> None:
    from .tensorrt_file import write_engine

    between = part.with_suffix('.onnx')
    _write_onnx(program, between, description._replace(precision='fp32'))
    write_engine(between, part, description)
    for file in part.parent.glob(f'{between.name}*'):
        file.unlink()


_WRITERS = dict(
    onnx=_write_onnx, openvino=_write_openvino, torch=_write_torch, tensorrt=_write_tensorrt
)
