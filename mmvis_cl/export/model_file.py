"""What an exported model says of itself, and which files are exported models.

The description is JSON: what must be known to prepare frames, to select what is found and to
associate it. It builds only parts of ours that are named here, so that a file stays data.
"""

import json
import os
from typing import Any, NamedTuple

from mmvis_cl.errors import InputError
from mmvis_cl.version import __version__

FORMAT = 1
KEY = 'mmvis_cl'  # under which a file has its description
SUFFIXES = {'.onnx': 'onnx', '.xml': 'openvino', '.pt2': 'torch'}
# What a description may name; all else would be somebody else's code.
_TRANSFORMS = {
    *('LoadFrame', 'LoadImageFromFile', 'LoadTrackAnnotations', 'LoadAnnotations'),
    *('AlignedResize', 'Resize', 'TransformBroadcaster', 'PackTrackInputs', 'PackVISInputs'),
}
_TRACKERS = {'MemoryBankTracker', 'BoxIoUTracker', 'LongTermMemory'}


class Description(NamedTuple):
    """What a file says of itself.

    Attributes:
        classes (list[str]): names of the labels.
        preprocessor (dict): arguments of :class:`VISDataPreprocessor`: normalisation, padding.
        pipeline (list[dict]): from a frame to its size in the network.
        detector (dict): ``test_cfg`` of the image network.
        mask_head (dict): arguments of :class:`DynamicMaskHead` that decide how masks are drawn.
        tracker (dict): a tracker's config.
        test_cfg (dict): of :class:`ContrastiveVIS`.
        size (list[int] | None): H, W that the padded frames have; None: any multiples of 32.
        batch (int | None): frames of a pass; None: any number.
        precision (str): of the network: fp32, fp16 or bf16.
        version (str): of mmvis_cl that wrote it.
        format (int): of this description.
    """

    classes: list[str]
    preprocessor: dict
    pipeline: list[dict]
    detector: dict
    mask_head: dict
    tracker: dict
    test_cfg: dict
    size: list[int] | None
    batch: int | None
    precision: str = 'fp32'
    version: str = __version__
    format: int = FORMAT

    def to_json(self) -> str:
        """As it is written into a file."""
        return json.dumps(self._asdict())


def is_model_file(path: str | os.PathLike) -> bool:
    """Whether a path names an exported model."""
    return os.path.splitext(os.fspath(path))[1].lower() in SUFFIXES


def read_description(text: str | None, name: str) -> Description:
    """What a file says of itself.

    Args:
        text: The JSON of its description; None if it has none.
        name: Of the file.

    Raises:
        InputError: It was not written by ``mmvis-cl export``, by a version whose files we cannot
            read, or names what a file may not name.
    """
    if not text:
        raise InputError(
            f'{name}: says nothing of classes and tracker, so mmvis-cl did not write it; write one '
            'with mmvis-cl export'
        )
    try:
        content = json.loads(text)
        of_format = content['format']
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f'{name}: its description is broken; export it again') from error
    if of_format != FORMAT:
        raise InputError(
            f'{name}: is a file of format {of_format!r}, this mmvis_cl {__version__} reads '
            f'{FORMAT}; '
            'export it again'
        )
    if set(content) != set(Description._fields) or not _is_sound(content):
        raise InputError(f'{name}: its description is broken; export it again')
    for types, allowed in (
        (_types(content['pipeline']), _TRANSFORMS),
        (_types(content['tracker']), _TRACKERS),
    ):
        strange = sorted(types - allowed)
        if strange:
            raise InputError(
                f'{name}: asks for {strange[0]!r}, which a model file may not; export it again'
            )
    return Description(**(content | dict(pipeline=_with_tuples(content['pipeline']))))


def _is_sound(content: dict[str, Any]) -> bool:
    size, batch, classes = content['size'], content['batch'], content['classes']
    dicts = ('preprocessor', 'detector', 'mask_head', 'tracker', 'test_cfg')
    return (
        isinstance(classes, list)
        and bool(classes)
        and all(isinstance(name, str) for name in classes)
        and isinstance(content['pipeline'], list)
        and all(isinstance(content[key], dict) for key in dicts)
        and (size is None or (isinstance(size, list) and len(size) == 2))
        and (batch is None or (type(batch) is int and batch > 0))
    )


def _with_tuples(part: Any) -> Any:
    """Lists of numbers as tuples, which mmcv tells from lists, and JSON does not."""
    if isinstance(part, dict):
        return {key: _with_tuples(value) for key, value in part.items()}
    if isinstance(part, list):
        if part and all(isinstance(value, (int, float)) for value in part):
            return tuple(part)
        return [_with_tuples(value) for value in part]
    return part


def _types(part: object) -> set[str]:
    """All types that a part of a config names, without their scope."""
    if isinstance(part, dict):
        found = {str(part['type']).rpartition('.')[2]} if 'type' in part else set()
        return found.union(*(_types(value) for value in part.values()))
    if isinstance(part, (list, tuple)):
        return set().union(*(_types(value) for value in part))
    return set()
