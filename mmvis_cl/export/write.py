"""Writes the image network of a trained model to a file of its own."""

import logging
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor

from mmvis_cl.errors import InputError, cannot_write, shortened
from mmvis_cl.files import finish
from mmvis_cl.models.vis.contrastive_vis import ContrastiveVIS

from .model_file import KEY, SUFFIXES, Description
from .network import ExportedNetwork, NetworkOutputs
from .runtimes import library

OPSET = 20
MULTIPLE = 32  # what the sides of padded frames are multiples of
LARGEST = 4096  # pixels of a side of dynamic size
MOST_FRAMES = 64
# Where pixels are told apart, and what has no kernel for half precision.
_FLOAT32 = 'GridSample', 'Range', 'Floor', 'CumSum'
PRECISIONS = dict(onnx=('fp32', 'fp16'), openvino=('fp32', 'fp16', 'bf16'), torch=('fp32', 'bf16'))


def describe(
    model: ContrastiveVIS,
    cfg: Config,
    classes: tuple[str, ...],
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
    """
    head = model.detector.mask_head
    preprocessor = dict(cfg.model.data_preprocessor)
    preprocessor.pop('type')
    shape = dict(
        feat_channels=head.feat_convs[-1].out_channels,
        dynamic_channels=head.weight_shapes[0][0],
        feat_stride=head.feat_stride,
        out_stride=head.out_stride,
    )
    of_torch = ('autocast', 'cuda_graph', 'tf32')
    test_cfg = {key: value for key, value in model.test_cfg.items() if key not in of_torch}
    plain: Any = Config(
        dict(
            pipeline=cfg.test_dataloader.dataset.pipeline,
            detector=model.detector.test_cfg,
            tracker=cfg.model.tracker,
            test_cfg=test_cfg,
            preprocessor=preprocessor,
        )
    ).to_dict()
    return Description(
        list(classes),
        plain['preprocessor'],
        plain['pipeline'],
        plain['detector'],
        shape,
        plain['tracker'],
        plain['test_cfg'],
        None if size is None else list(size),
        batch,
        precision,
    )


def export(
    model: ContrastiveVIS, description: Description, out: str | os.PathLike, backend: str
) -> None:
    """Write a file; it gets its name when it is whole.

    Args:
        model: In float32, not prepared for inference.
        description: See :func:`describe`.
        out: The file, with the ending of the backend: .onnx, .xml, .pt2.
        backend: 'onnx', 'openvino' or 'torch'.

    Raises:
        InputError: The model has a network that cannot be exported, a program is not installed, the
            backend has not the precision, or the file cannot be written.
    """
    out = Path(out)
    if SUFFIXES.get(out.suffix.lower()) != backend:
        ending = next(suffix for suffix, kind in SUFFIXES.items() if kind == backend)
        raise InputError(f'--out {out}: a file of {backend} ends in {ending}; name it so')
    if description.precision not in PRECISIONS[backend]:
        raise InputError(
            f'--precision {description.precision}: {backend} has none of it on a CPU; give one of '
            f'{", ".join(PRECISIONS[backend])}'
        )
    if backend != 'torch':
        library('onnx', 'onnx', f'--backend {backend}')
        library('onnxscript', 'onnx', f'--backend {backend}')
    if backend == 'openvino':
        library('openvino', 'openvino', '--backend openvino')
    network = ExportedNetwork(model).eval()
    program = _traced(network, description)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix='.unfinished-', dir=out.parent) as folder:
            part = Path(folder) / out.name
            writers = dict(onnx=_write_onnx, openvino=_write_openvino, torch=_write_torch)
            writers[backend](program, part, description)
            # what a file needs beside it goes first
            for file in sorted(Path(folder).iterdir(), key=lambda file: file == part):
                finish(file, out.with_name(file.name))
    except OSError as error:
        raise cannot_write(out, error) from error


def _traced(network: ExportedNetwork, description: Description) -> torch.export.ExportedProgram:
    """The network as a graph, of any or a fixed number and size of frames."""
    from torch.export import Dim

    height, width = description.size or (4 * MULTIPLE, 7 * MULTIPLE)
    frames = torch.zeros(description.batch or 2, 3, height, width)
    size = torch.tensor([height - 9, width - 5])
    dynamic: dict[int, Any] = {}
    if description.batch is None:
        dynamic[0] = Dim('batch', min=1, max=MOST_FRAMES)
    if description.size is None:
        most = LARGEST // MULTIPLE
        dynamic[2] = MULTIPLE * Dim('rows', min=2, max=most)
        dynamic[3] = MULTIPLE * Dim('columns', min=2, max=most)
    autocast = description.precision == 'bf16'
    try:
        with torch.no_grad():
            return torch.export.export(
                _Autocast(network) if autocast else network,
                (frames, size),
                dynamic_shapes=(dynamic, {}),
                strict=False,
            )
    except Exception as error:  # of the compiler, which has many
        raise InputError(
            f'torch {torch.__version__} cannot trace this network ({shortened(error, 200)}); '
            'export it with a --size, or with a newer torch'
        ) from error


class _Autocast(torch.nn.Module):
    """A network in bfloat16, but for what autocast leaves in float32."""

    def __init__(self, network: ExportedNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor, size: Tensor) -> NetworkOutputs:
        with torch.autocast(frames.device.type, torch.bfloat16):
            found = self.network(frames, size)
        return NetworkOutputs(*(output.float() for output in found))


def _onnx_of(program: torch.export.ExportedProgram, description: Description) -> Any:
    for name in ('onnxscript', 'onnx_ir'):  # they tell of each constant that they do not fold
        logging.getLogger(name).setLevel(logging.ERROR)
    written = torch.onnx.export(
        program,
        dynamo=True,
        opset_version=OPSET,
        input_names=['frames', 'size'],
        output_names=list(NetworkOutputs._fields),
        verbose=False,
    )
    model = written.model
    model.metadata_props[KEY] = description.to_json()
    return written


def _write_onnx(
    program: torch.export.ExportedProgram, part: Path, description: Description
) -> None:
    written = _onnx_of(program, description)
    # a protocol buffer has at most 2 GB: larger weights go into a file beside it
    weights = sum(value.nbytes for value in program.state_dict.values())
    written.save(str(part), external_data=weights > 1.5e9)
    if description.precision == 'fp16':
        onnx = library('onnx', 'onnx', '--precision fp16')
        float16 = library('onnxruntime.transformers.float16', 'onnx', '--precision fp16')
        half = float16.convert_float_to_float16(
            onnx.load(str(part)),
            keep_io_types=True,
            op_block_list=[*float16.DEFAULT_OP_BLOCK_LIST, *_FLOAT32],
        )
        onnx.save(half, str(part))


def _write_openvino(
    program: torch.export.ExportedProgram, part: Path, description: Description
) -> None:
    openvino = library('openvino', 'openvino', '--backend openvino')
    between = part.with_suffix('.onnx')
    plain = description._replace(precision='fp32')
    _write_onnx(program, between, plain)
    model = openvino.convert_model(str(between))
    between.unlink()
    model.set_rt_info(description.to_json(), [KEY])
    openvino.save_model(model, str(part), compress_to_fp16=description.precision == 'fp16')


def _write_torch(
    program: torch.export.ExportedProgram, part: Path, description: Description
) -> None:
    try:
        torch._inductor.aoti_compile_and_package(program, package_path=str(part))
    except Exception as error:  # of the compilers, of which the second may be missing
        raise InputError(
            f'torch {torch.__version__} cannot compile the network ({shortened(error, 200)}); it '
            'needs a C++ compiler, as g++'
        ) from error
    with zipfile.ZipFile(part, 'a') as archive:
        folder = archive.namelist()[0].partition('/')[0]
        archive.writestr(f'{folder}/extra/{KEY}.json', description.to_json())
