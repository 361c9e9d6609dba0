"""What an exported model says of itself, as JSON in its file.

It is what must be known to prepare frames, to select what is found and to associate it. Only
numbers, names and switches are taken from it, for parts of ours, so that a file stays data.
"""

import json
import math
from typing import Any, NamedTuple

from mmvis_cl.errors import InputError, quoted
from mmvis_cl.version import __version__

from .model_file import LEAST, MOST, MOST_FRAMES, MULTIPLE

FORMAT = 1
KEY = 'mmvis_cl'  # under which a file has its description
# What its input is, for those who run the file by other programs.
FRAMES = dict(type='float32', layout='NCHW', channels='RGB', normalised=True, padding=0)


class Description(NamedTuple):
    """What a file says of itself.

    Attributes:
        network (str): kind of the image network, 'MaskDeformableDETR' or 'QueryMaskFormer'; it
            decides what the outputs are.
        classes (list[str]): names of the labels.
        mean (list[float]): is taken from the colours (red, green, blue; 0 to 255).
        std (list[float]): by which what is left is divided.
        resize (dict): from a frame to its size in the network: ``type``, 'AlignedResize' (as
            Pillow's bilinear filter) or 'Resize' (as OpenCV's), ``scale``, the longest long and
            short side, and ``keep_ratio``.
        detector (dict): ``test_cfg`` of the image network: its thresholds.
        mask_head (dict): how masks are drawn from features and parameters, arguments of
            :class:`DynamicMaskHead`; empty where they are their product.
        tracker (dict): type and arguments of the tracker.
        test_cfg (dict): of :class:`ContrastiveVIS`.
        size (list[int] | None): H, W of padded frames; None: any multiples of 32.
        batch (int | None): frames of a pass; None: any number.
        precision (str): of the network: fp32, fp16, bf16 or int8.
        frames (dict): how the input ``frames`` is to be given, see ``FRAMES``.
        version (str): of mmvis_cl that wrote it.
        format (int): of this description.
    """

    network: str
    classes: list[str]
    mean: list[float]
    std: list[float]
    resize: dict
    detector: dict
    mask_head: dict
    tracker: dict
    test_cfg: dict
    size: list[int] | None
    batch: int | None
    precision: str = 'fp32'
    frames: dict = FRAMES
    version: str = __version__
    format: int = FORMAT

    def to_json(self) -> str:
        """As it is written into a file."""
        return json.dumps(self._asdict())


class _Keys(NamedTuple):
    """A dict with these keys, of which some may be left out."""

    needed: dict[str, Any]
    others: dict[str, Any]


# What each field may be: a type, a range, a list of something, keys, or one of several.
_COUNT, _NONE = range(1, 2**31), type(None)
_LONG_TERM = _Keys(
    dict(type=('LongTermMemory',)),
    dict(capacity=_COUNT, return_thr=float, cosine_thr=float, min_frames=int, same_class=bool),
)
_FIELDS = dict(
    network=('MaskDeformableDETR', 'QueryMaskFormer'),
    classes=[str],
    mean=[float],
    std=[float],
    resize=_Keys(dict(type=('AlignedResize', 'Resize'), scale=[_COUNT], keep_ratio=bool), {}),
    detector=_Keys(dict(score_thr=float), dict(nms_iou_thr=float, max_per_img=_COUNT)),
    mask_head=_Keys(
        {},
        dict.fromkeys(('feat_channels', 'dynamic_channels', 'feat_stride', 'out_stride'), _COUNT),
    ),
    tracker=_Keys(
        dict(type=('MemoryBankTracker', 'BoxIoUTracker')),
        dict(
            memory_len=_COUNT,
            match_thr=float,
            new_thr=float,
            first_thr=float,
            background_iou_thr=float,
            max_unseen=int,
            frame_weight=bool,
            temporal_weight=bool,
            similar_thr=float,
            memory=('mean', 'guided'),
            cosine_thr=(float, _NONE),
            motion_gate=(float, _NONE),
            long_term=(_LONG_TERM, _NONE),
        ),
    ),
    test_cfg=_Keys(
        dict(mask_nms_thr=float, result_score_thr=float),
        dict(
            score_mean=('probabilities', 'logits'),
            max_tracks=(_COUNT, _NONE),
            noise_from_frame=int,
            noise_min_frames=int,
            greedy_nms=bool,
            smooth_masks=bool,
            mask_quality=bool,
            join_thr=(float, _NONE),
            join_max_gap=(int, _NONE),
            frames_per_pass=_COUNT,
        ),
    ),
    size=([range(LEAST, MOST + 1, MULTIPLE)], _NONE),
    batch=(range(1, MOST_FRAMES + 1), _NONE),
    precision=('fp32', 'fp16', 'bf16', 'int8'),
    frames=_Keys({key: (value,) for key, value in FRAMES.items()}, {}),
    version=str,
    format=(FORMAT,),
)
_LENGTHS = dict(mean=3, std=3, size=2)


def read_description(text: str | None, name: str) -> Description:
    """What a file says of itself.

    Args:
        text: The JSON of its description; None if it has none.
        name: Of the file.

    Raises:
        InputError: It was not written by ``mmvis-cl export``, by a version whose files we cannot
            read, or says what none of our files says.
    """
    if not text:
        raise InputError(
            f'{name}: says nothing of classes and tracker, so mmvis-cl did not write it; write one '
            'with mmvis-cl export'
        )
    try:
        content = json.loads(text)
        of_format = content['format']
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f'{name}: its description is broken; export it again') from error
    if of_format != FORMAT:
        raise InputError(
            f'{name}: is a file of format {quoted(of_format)}, this mmvis_cl {__version__} reads '
            f'{FORMAT}; export it again with this version'
        )
    wrong = unsound_field(content)
    if wrong is not None:
        raise InputError(f'{name}: its description is broken ({wrong}); export it again')
    return Description(**{key: content[key] for key in _FIELDS})


def unsound_field(content: dict) -> str | None:
    """The first field of a description that is not there, or is not what it may be."""
    return next((key for key in _FIELDS if not _is_sound(content, key)), None)


def _is_sound(content: dict, key: str) -> bool:
    value = content.get(key, ...)
    if not _fits(value, _FIELDS[key]):
        return False
    if isinstance(value, list):
        right = bool(value) and len(value) == _LENGTHS.get(key, len(value))
        return right and (key != 'std' or min(value) > 0)
    if key == 'resize':
        return len(value['scale']) == 2
    if key == 'mask_head':
        return bool(value) == (content['network'] == 'MaskDeformableDETR')
    return True


def _fits(value: Any, form: Any) -> bool:
    """Whether a value is of a form, as those of ``_FIELDS``."""
    if isinstance(form, tuple) and not isinstance(form, _Keys):
        return any(_fits(value, one) for one in form)
    if isinstance(form, _Keys):
        known = form.needed | form.others
        return (
            isinstance(value, dict)
            and form.needed.keys() <= value.keys() <= known.keys()
            and all(_fits(value[key], known[key]) for key in value)
        )
    if isinstance(form, list):
        return isinstance(value, list) and all(_fits(one, form[0]) for one in value)
    if isinstance(form, range):
        return type(value) is int and value in form
    if form is float:
        return type(value) in (int, float) and math.isfinite(value)
    if form is int:
        return type(value) is int and 0 <= value < 2**31
    if isinstance(form, type):
        return type(value) is form
    return type(value) is type(form) and value == form
