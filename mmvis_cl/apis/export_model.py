"""From a config and a checkpoint to a file that runs without either."""

import os
from pathlib import Path

from mmvis_cl.errors import InputError
from mmvis_cl.export.model_file import backend_of, check_batch, is_model_file, padded_size

from .inferencer import VISInferencer


def export_model(
    config: str | os.PathLike | None,
    weights: str | os.PathLike,
    out: str | os.PathLike,
    *,
    size: tuple[int, int] | None = None,
    batch: int | None = None,
    precision: str = 'fp32',
    backend: str | None = None,
    cfg_options: dict | None = None,
) -> list[Path]:
    """Write the image network of a model to a file that ``VISInferencer(weights=out)`` runs.

    Args:
        config: See :class:`VISInferencer`.
        weights: See there.
        out: The file, of the ending of its backend: ``.onnx``, ``.xml``, ``.pt2`` or ``.engine``.
        size: Height and width of the frames in the network, rounded up to multiples of 32; any
            size if None.
        batch: Frames of a pass; any number if None.
        precision: ``'fp32'``, ``'fp16'``, ``'bf16'`` or ``'int8'``; not each backend has each.
        backend: ``'onnx'``, ``'openvino'``, ``'torch'`` or ``'tensorrt'``; by the ending of ``out``
            if None.
        cfg_options: See :class:`VISInferencer`.

    Returns:
        The files that were written, ``out`` last.

    Raises:
        InputError: The model cannot be exported so, something is not installed, or the file cannot
            be written.
    """
    from mmvis_cl.export.write import describe, export

    backend = backend_of(out, backend, precision)
    padded = None if size is None else padded_size(size)
    check_batch(batch)
    if is_model_file(weights):
        raise InputError(
            f'{os.fspath(weights)}: is exported already; give the checkpoint that it was made from'
        )
    inferencer = VISInferencer(config, weights, 'cpu', cfg_options=cfg_options, prepare=False)
    model = inferencer.model
    description = describe(model, inferencer.cfg, inferencer.classes, padded, batch, precision)
    return export(model, description, out, backend)
