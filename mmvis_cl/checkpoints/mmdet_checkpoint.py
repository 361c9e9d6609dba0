"""Checkpoints of mmdet's own detectors, as a start for ours.

Our image network is mmdet's Deformable DETR and more, so the names are the same; what differs is
where the network stands in the video model and that our neck's convolutions have biases.
"""

import re

import torch
from torch import Tensor

from mmvis_cl.errors import InputError

_BACKBONE = re.compile(r'(detector\.)?backbone\.')
_KNOWN = re.compile(
    r'backbone\.|neck\.(convs|extra_convs)\.\d+\.(conv|gn)\.'
    r'|(encoder|decoder)\.layers\.\d+\.((self|cross)_attn|ffn|norms)\.'
    r'|bbox_head\.(cls|reg)_branches\.\d+\.'
    r'|(query_embedding\.weight|level_embed|reference_points_fc\.(weight|bias))$'
)
_NEEDED = (
    'query_embedding.weight',
    'level_embed',
    'reference_points_fc.weight',
    'reference_points_fc.bias',
    'neck.convs.0.conv.weight',
    'encoder.layers.0.self_attn.sampling_offsets.weight',
    'decoder.layers.0.cross_attn.sampling_offsets.weight',
    'bbox_head.cls_branches.0.weight',
    'bbox_head.reg_branches.0.0.weight',
)


def from_mmdet(
    weights: dict[str, Tensor], backbone_only: bool = False, image_network: bool = False
) -> dict[str, Tensor]:
    """The weights of one of mmdet's detectors under our names.

    Args:
        weights (dict[str, Tensor]): state dict of a Deformable DETR with box refinement and one
            stage, or of any detector if ``backbone_only``.
        backbone_only (bool): take the backbone and nothing else.
        image_network (bool): names for a :class:`MaskDeformableDETR` by itself, else for a
            :class:`ContrastiveVIS`, where they begin with ``detector.``.

    Returns:
        dict[str, Tensor]: part of a state dict: mask head and embedding head are not in it.

    Raises:
        InputError: the weights are of another detector, or there is no backbone.
    """
    if backbone_only:
        ours = {
            name.removeprefix('detector.'): value
            for name, value in weights.items()
            if _BACKBONE.match(name)
        }
        if not ours:
            raise InputError(
                "no weights of a backbone: no name begins with 'backbone.' (the names are "
                f'{_few(weights)}); give a checkpoint of an mmdet detector'
            )
    else:
        _check_deformable_detr(weights)
        ours = dict(weights)
        for name, value in weights.items():
            # mmdet's convolution has none; 0 gives the same maps
            bias = name.removesuffix('weight') + 'bias'
            if re.fullmatch(r'neck\..*\.conv\.weight', name) and bias not in weights:
                ours[bias] = torch.zeros(len(value), dtype=value.dtype)
    return ours if image_network else {f'detector.{name}': value for name, value in ours.items()}


def _check_deformable_detr(weights: dict[str, Tensor]) -> None:
    backbone = "; --backbone takes a detector's backbone alone"
    missing = [name for name in _NEEDED if name not in weights]
    unknown = [name for name in weights if not _KNOWN.match(name)]
    if missing or unknown:
        raise InputError(
            'not the weights of a Deformable DETR with one stage, as mmdet 3 saves them: '
            f'{len(missing)} of {len(_NEEDED)} names missing ({_few(missing)}), '
            f'{len(unknown)} unknown ({_few(unknown)}){backbone}'
        )
    decoder_layers, classes, boxes = (
        {int(match[1]) for name in weights if (match := re.match(rf'{part}\.(\d+)\.', name))}
        for part in (r'decoder\.layers', r'bbox_head\.cls_branches', r'bbox_head\.reg_branches')
    )
    if not decoder_layers == classes == boxes:
        raise InputError(
            f'{len(decoder_layers)} decoder layers, but {len(classes)} class and {len(boxes)} box '
            f'branches: the file is incomplete{backbone}'
        )
    shared = all(
        torch.equal(value, weights[re.sub(r'\d+', '0', name, count=1)])
        for name, value in weights.items()
        if re.match(r'bbox_head\.reg_branches\.', name)
    )
    if shared and len(boxes) > 1:
        raise InputError(
            'all box branches are one: a Deformable DETR without box refinement, whose branches '
            'do not fit layers that refine; give one with it (deformable-detr-refine_r50 in '
            f"mmdet's list){backbone}"
        )


def _few(names: list[str] | dict[str, Tensor]) -> str:
    return ', '.join(list(names)[:3]) + (', ...' if len(names) > 3 else '') or 'none'
