"""From a config and a checkpoint to a file that runs without either."""

import os

from mmvis_cl.errors import InputError
from mmvis_cl.export.model_file import SUFFIXES

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
) -> None:
    """Write the image network of a model to a file that ``VISInferencer(weights=out)`` runs.

    Args:
        config: See :class:`VISInferencer`.
        weights: See there.
        out: The file, of the ending of its backend: ``.onnx``, ``.xml`` or ``.pt2``.
        size: H, W of the padded frames in the network, multiples of 32; any size if None.
        batch: Frames of a pass; any number if None.
        precision: ``'fp32'``, ``'fp16'`` or ``'bf16'``.
        backend: ``'onnx'``, ``'openvino'`` or ``'torch'``; by the ending of ``out`` if None.
        cfg_options: See :class:`VISInferencer`.

    Raises:
        InputError: The model cannot be exported so, something is not installed, or the file cannot
            be written.
    """
    from mmvis_cl.export.write import describe, export

    if backend is None:
        backend = SUFFIXES.get(os.path.splitext(os.fspath(out))[1].lower())
    if backend is None:
        raise InputError(f'{out}: must end in {", ".join(SUFFIXES)}; name it so')
    if size is not None and any(side % 32 or side < 64 for side in size):
        raise InputError(f'size {size}: must be multiples of 32, 64 or more; give such a size')
    inferencer = VISInferencer(config, weights, 'cpu', cfg_options=cfg_options, prepare=False)
    cfg = inferencer.cfg
    description = describe(inferencer.model, cfg, inferencer.classes, size, batch, precision)
    export(inferencer.model, description, out, backend)
