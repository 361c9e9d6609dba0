"""Which files are exported models, what runs them, and what they can be asked to be."""

import os

from mmvis_cl.errors import InputError, quoted

SUFFIXES = {'.onnx': 'onnx', '.xml': 'openvino', '.pt2': 'torch', '.engine': 'tensorrt'}
PRECISIONS = dict(
    onnx=('fp32', 'fp16', 'int8'),
    openvino=('fp32', 'fp16', 'bf16', 'int8'),
    torch=('fp32', 'bf16'),
    tensorrt=('fp32', 'fp16', 'bf16'),
)
MULTIPLE = 32  # of the sides of padded frames
LEAST, MOST = 64, 4096  # pixels of a side of padded frames
MOST_FRAMES = 64  # of a pass


def is_model_file(path: str | os.PathLike) -> bool:
    """Whether a path names an exported model."""
    return os.path.splitext(os.fspath(path))[1].lower() in SUFFIXES


def backend_of(out: str | os.PathLike, backend: str | None, precision: str) -> str:
    """What runs a file that is to be written.

    Args:
        out: The file.
        backend: What the user asks for; by the ending of the file if None.
        precision: Of the network.

    Raises:
        InputError: The file must have another ending, or the backend has not the precision.
    """
    ending = os.path.splitext(os.fspath(out))[1].lower()
    found = SUFFIXES.get(ending)
    if backend is not None and backend not in PRECISIONS:
        raise InputError(
            f'backend {quoted(backend)}: there is none; give one of {", ".join(PRECISIONS)}'
        )
    if found is None or (backend is not None and backend != found):
        endings = [suffix for suffix, kind in SUFFIXES.items() if backend in (None, kind)]
        raise InputError(
            f'--out {out}: a file of {backend or "an exported model"} must end in '
            f'{", ".join(endings)}; name it so'
        )
    if precision not in PRECISIONS[found]:
        raise InputError(
            f'--precision {precision}: {found} has no such network; give one of '
            f'{", ".join(PRECISIONS[found])}'
        )
    return found


def padded_size(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of padded frames for frames of a size: the next multiples of 32.

    Raises:
        InputError: A side is too small or too large.
    """
    for side in size:
        if not LEAST - MULTIPLE < side <= MOST:
            raise InputError(
                f'--size {size[0]} {size[1]}: a side must be from {LEAST - MULTIPLE + 1} to {MOST} '
                'pixels; give such a height and width'
            )
    height, width = (-(-side // MULTIPLE) * MULTIPLE for side in size)
    return height, width


def check_batch(batch: int | None) -> None:
    """Refuse a number of frames that is none.

    Raises:
        InputError: It is below 1 or above 64.
    """
    if batch is not None and not 1 <= batch <= MOST_FRAMES:
        raise InputError(f'--batch {batch}: must be from 1 to {MOST_FRAMES}; give such a number')
