"""Checkpoints of the authors' release, turned into ours and back.

The release is built on detectron2 and saves a state dict of other names, and of another order of
channels where Swin merges patches. `name_table` says which name is which; everything else follows
from it.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from mmvis_cl.errors import InputError

# where `to_release` finds what the release saves and our model has no place for
REST_KEY = 'release_rest'

_DETR = 'detr.detr.'
_BACKBONE = 'detr.detr.backbone.0.backbone.'
_OUR_BACKBONE = 'detector.backbone.'
_RESNET_BLOCKS: dict[tuple[int, ...], int] = {
    (3, 4, 6, 3): 50,
    (3, 4, 23, 3): 101,
    (3, 8, 36, 3): 152,
}
_LINEAR = ('weight', 'bias')
_BATCH_NORM = ('weight', 'bias', 'running_mean', 'running_var')
_DEFORMABLE_ATTENTION = tuple(
    f'{part}.{parameter}'
    for part in ('sampling_offsets', 'attention_weights', 'value_proj', 'output_proj')
    for parameter in _LINEAR
)
_ATTENTION = ('in_proj_weight', 'in_proj_bias', 'out_proj.weight', 'out_proj.bias')


@dataclass(frozen=True)
class Structure:
    """What the names of a state dict tell of the network.

    Attributes:
        encoder_layers (int): of the transformer.
        decoder_layers (int): of the transformer.
        swin (bool): the backbone is a Swin Transformer, else a ResNet.
        blocks (tuple[int, ...]): of the backbone's stages.
        patch_norm (bool): Swin normalises its patches.
        absolute_positions (bool): Swin adds a learned embedding of absolute positions.
    """

    encoder_layers: int
    decoder_layers: int
    swin: bool
    blocks: tuple[int, ...]
    patch_norm: bool
    absolute_positions: bool

    @property
    def backbone(self) -> str:
        """The backbone in words."""
        if self.swin:
            return f'Swin with {"-".join(map(str, self.blocks))} blocks'
        return f'ResNet-{_RESNET_BLOCKS[self.blocks]}'


def from_release(release: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor | None]]:
    """A release's state dict under our names.

    Args:
        release (dict[str, Tensor]): the release's state dict.

    Returns:
        tuple: the state dict for a :class:`ContrastiveVIS` of the same size, and what `to_release`
        needs beyond it to give back exactly ``release``: tensors that our model has no use for, and
        None for names that ``release`` lacks.

    Raises:
        InputError: names are missing or unknown, or a tensor is not what its name says.
    """
    names = [name for name in release if not _is_index(name)]
    structure = structure_of(names, release=True)
    table = name_table(structure)
    unused = {f'{_BACKBONE}norm0.{p}' for p in _LINEAR} if structure.swin else set()
    _compare(names, table, unused, 'of the release')

    ours = {}
    for theirs, name in table.items():
        # the box branches have two names; the second one wins, as when the release loads them
        ours[name] = _merge_order(name, release[theirs], from_release=True)
    for table_name in [name for name in ours if name.endswith('relative_position_bias_table')]:
        index_name = table_name.replace('bias_table', 'index')
        ours[index_name] = index = window_index(ours[table_name], table_name)
        given = release.get(_their_index(index_name))
        if given is not None and not torch.equal(given, index):
            raise InputError(
                f'{_their_index(index_name)} is not the index of a window of '
                f'{math.isqrt(len(index))}x{math.isqrt(len(index))}: the file is damaged or of '
                'another implementation'
            )
    back = to_release(ours)
    rest: dict[str, Tensor | None] = {
        name: value
        for name, value in release.items()
        if name not in back or not torch.equal(back[name], value)
    }
    rest |= {name: None for name in back if name not in release}
    return ours, rest


def to_release(
    ours: dict[str, Tensor], rest: dict[str, Tensor | None] | None = None
) -> dict[str, Tensor]:
    """Our state dict under the release's names, the way back of `from_release`.

    Args:
        ours (dict[str, Tensor]): a :class:`ContrastiveVIS`'s state dict.
        rest (dict[str, Tensor | None], optional): the second result of `from_release`. Without it
            Swin's ``norm0``, which the network does not use, is left out.

    Returns:
        dict[str, Tensor]: the release's state dict.

    Raises:
        InputError: names are missing, or the release has none for them.
    """
    names = [
        name for name in ours if not name.endswith('num_batches_tracked') and not _is_index(name)
    ]
    structure = structure_of(names, release=False)
    table = name_table(structure)
    _compare(names, table.values(), set(), 'of ours')
    release = {
        theirs: _merge_order(name, ours[name], from_release=False) for theirs, name in table.items()
    }
    release |= {_their_index(name): value for name, value in ours.items() if _is_index(name)}
    for name, value in (rest or {}).items():
        if value is None:
            release.pop(name, None)
        else:
            release[name] = value
    return release


def structure_of(names: Iterable[str], release: bool) -> Structure:
    """The structure of the network that a state dict is of.

    Args:
        names (Iterable[str]): of the state dict.
        release (bool): the names are the release's, else ours.

    Returns:
        Structure: as far as the names go; layers that are missing at the end cannot be noticed.

    Raises:
        InputError: there is no transformer, or no known backbone.
    """
    names = list(names)
    if release:
        transformer, backbone = f'{_DETR}transformer.', _BACKBONE
        resnet, first_stage, swin = 'res', 2, 'layers.'
    else:
        transformer, backbone = 'detector.', _OUR_BACKBONE
        resnet, first_stage, swin = 'layer', 1, 'stages.'

    def count(prefix: str) -> int:
        pattern = re.compile(re.escape(prefix) + r'(\d+)\.')
        found = [int(match[1]) for name in names if (match := pattern.match(name))]
        return max(found, default=-1) + 1

    encoder_layers = count(f'{transformer}encoder.layers.')
    stages = count(backbone + swin)
    resnet_blocks = tuple(count(f'{backbone}{resnet}{first_stage + i}.') for i in range(4))
    if not encoder_layers or bool(stages) == any(resnet_blocks):
        raise InputError(
            'not the weights of this model on a ResNet or a Swin Transformer; the names are '
            f'{_few(names)}'
        )
    if not stages and resnet_blocks not in _RESNET_BLOCKS:
        raise InputError(
            f'{"-".join(map(str, resnet_blocks))} blocks in {backbone}{resnet}{first_stage} and '
            'the stages after it, as no ResNet has (50: 3-4-6-3, 101: 3-4-23-3, 152: 3-8-36-3): '
            'the file is incomplete'
        )
    return Structure(
        encoder_layers=encoder_layers,
        decoder_layers=count(f'{transformer}decoder.layers.'),
        swin=stages > 0,
        blocks=tuple(count(f'{backbone}{swin}{i}.blocks.') for i in range(stages)) or resnet_blocks,
        patch_norm=f'{backbone}patch_embed.norm.weight' in names,
        absolute_positions=f'{backbone}absolute_pos_embed' in names,
    )


def name_table(structure: Structure) -> dict[str, str]:
    """Our name for every parameter and buffer of the release.

    Args:
        structure (Structure): of the network.

    Returns:
        dict[str, str]: the release's names to ours. The box branches stand in it under both of
        the release's names.
    """
    table = {}

    def add(theirs: str, ours: str, parameters: Iterable[str] = _LINEAR) -> None:
        table.update({f'{theirs}.{p}': f'{ours}.{p}' for p in parameters})

    def add_mlp(theirs: str, ours: str) -> None:
        for layer in range(3):  # ours has a ReLU after each
            add(f'{theirs}.layers.{layer}', f'{ours}.{2 * layer}')

    def add_ffn(theirs: str, ours: str) -> None:
        add(f'{theirs}.linear1', f'{ours}.ffn.layers.0.0')
        add(f'{theirs}.linear2', f'{ours}.ffn.layers.1')

    transformer = _DETR + 'transformer'
    table[f'{transformer}.level_embed'] = 'detector.level_embed'
    table[f'{_DETR}query_embed.weight'] = 'detector.query_embedding.weight'
    add(f'{transformer}.reference_points', 'detector.reference_points_fc')
    for i in range(structure.encoder_layers):
        theirs, ours = f'{transformer}.encoder.layers.{i}', f'detector.encoder.layers.{i}'
        add(f'{theirs}.self_attn', f'{ours}.self_attn', _DEFORMABLE_ATTENTION)
        add(f'{theirs}.norm1', f'{ours}.norms.0')
        add_ffn(theirs, ours)
        add(f'{theirs}.norm2', f'{ours}.norms.1')
    for i in range(structure.decoder_layers):
        theirs, ours = f'{transformer}.decoder.layers.{i}', f'detector.decoder.layers.{i}'
        # the release numbers the norms in the order of their making, mmdet in that of their use
        add(f'{theirs}.self_attn', f'{ours}.self_attn.attn', _ATTENTION)
        add(f'{theirs}.norm2', f'{ours}.norms.0')
        add(f'{theirs}.cross_attn', f'{ours}.cross_attn', _DEFORMABLE_ATTENTION)
        add(f'{theirs}.norm1', f'{ours}.norms.1')
        add_ffn(theirs, ours)
        add(f'{theirs}.norm3', f'{ours}.norms.2')
        add(f'{_DETR}class_embed.{i}', f'detector.bbox_head.cls_branches.{i}')
        for box in (f'{transformer}.decoder.bbox_embed', f'{_DETR}bbox_embed'):
            add_mlp(f'{box}.{i}', f'detector.bbox_head.reg_branches.{i}')
    for level in range(4):
        ours = f'convs.{level}' if level < 3 else 'extra_convs.0'
        add(f'{_DETR}input_proj.{level}.0', f'detector.neck.{ours}.conv')
        add(f'{_DETR}input_proj.{level}.1', f'detector.neck.{ours}.gn')
    add_mlp('detr.controller', 'detector.mask_head.controller')
    for theirs, ours in {
        'lay1': 'feat_convs.0',
        'lay2': 'feat_convs.1',
        'lay3': 'fuse_convs.0',
        'lay4': 'fuse_convs.1',
        'dcn': 'fuse_convs.2',
    }.items():
        add(f'detr.mask_head.{theirs}', f'detector.mask_head.{ours}')
    add_mlp('detr.reid_embed_head', 'embed_head.embed')

    backbone = _swin_table(structure) if structure.swin else _resnet_table(structure)
    for theirs, ours in backbone.items():
        table[_BACKBONE + theirs] = _OUR_BACKBONE + ours
    return table


def window_index(bias_table: Tensor, name: str) -> Tensor:
    """Which row of Swin's table of position biases holds for two positions of a window.

    Args:
        bias_table (Tensor): ((2 W - 1)^2, heads) for a window of W x W.
        name (str): of the table, for the error.

    Returns:
        Tensor: (W^2, W^2) int64.

    Raises:
        InputError: no window has a table of this length.
    """
    side = math.isqrt(len(bias_table))
    if side**2 != len(bias_table) or side % 2 == 0:
        raise InputError(
            f'{name} has {len(bias_table)} rows, which no square window has: the file is damaged'
        )
    window = (side + 1) // 2
    row, column = torch.meshgrid(torch.arange(window), torch.arange(window), indexing='ij')
    row, column = row.flatten(), column.flatten()
    down = row[:, None] - row + window - 1
    right = column[:, None] - column + window - 1
    return down * side + right


def is_release(names: Iterable[str]) -> bool:
    """Whether a state dict's names are the release's."""
    return any(name.startswith('detr.detr.') for name in names)


def _resnet_table(structure: Structure) -> dict[str, str]:
    table = {}

    def add(theirs: str, conv: str, norm: str) -> None:
        table[f'{theirs}.weight'] = f'{conv}.weight'
        table.update({f'{theirs}.norm.{p}': f'{norm}.{p}' for p in _BATCH_NORM})

    add('stem.conv1', 'conv1', 'bn1')
    for stage, blocks in enumerate(structure.blocks):
        for block in range(blocks):
            theirs, ours = f'res{stage + 2}.{block}', f'layer{stage + 1}.{block}'
            if block == 0:
                add(f'{theirs}.shortcut', f'{ours}.downsample.0', f'{ours}.downsample.1')
            for i in (1, 2, 3):
                add(f'{theirs}.conv{i}', f'{ours}.conv{i}', f'{ours}.bn{i}')
    return table


def _swin_table(structure: Structure) -> dict[str, str]:
    table = {}

    def add(theirs: str, ours: str, parameters: Iterable[str] = _LINEAR) -> None:
        table.update({f'{theirs}.{p}': f'{ours}.{p}' for p in parameters})

    if structure.absolute_positions:
        table['absolute_pos_embed'] = 'absolute_pos_embed'
    add('patch_embed.proj', 'patch_embed.projection')
    if structure.patch_norm:
        add('patch_embed.norm', 'patch_embed.norm')
    for stage, blocks in enumerate(structure.blocks):
        for block in range(blocks):
            theirs, ours = f'layers.{stage}.blocks.{block}', f'stages.{stage}.blocks.{block}'
            add(f'{theirs}.norm1', f'{ours}.norm1')
            add(f'{theirs}.attn', f'{ours}.attn.w_msa', ['relative_position_bias_table'])
            add(f'{theirs}.attn.qkv', f'{ours}.attn.w_msa.qkv')
            add(f'{theirs}.attn.proj', f'{ours}.attn.w_msa.proj')
            add(f'{theirs}.norm2', f'{ours}.norm2')
            add(f'{theirs}.mlp.fc1', f'{ours}.ffn.layers.0.0')
            add(f'{theirs}.mlp.fc2', f'{ours}.ffn.layers.1')
        if stage + 1 < len(structure.blocks):
            theirs, ours = f'layers.{stage}.downsample', f'stages.{stage}.downsample'
            add(f'{theirs}.reduction', f'{ours}.reduction', ['weight'])
            add(f'{theirs}.norm', f'{ours}.norm')
        if stage > 0:
            add(f'norm{stage}', f'norm{stage}')
    return table


def _compare(names: list[str], expected: Iterable[str], unused: set[str], whose: str) -> None:
    found, wanted = set(names), set(expected)
    problems = [
        f'{len(keys)} {what} ({_few(sorted(keys))})'
        for what, keys in (
            ('missing', wanted - found),
            ('unknown', found - wanted - unused),
        )
        if keys
    ]
    if problems:
        raise InputError(
            f'not a complete checkpoint {whose}: of {len(wanted)} names '
            + ', '.join(problems)
            + '; use another file, or the converter of its own project'
        )


def _merge_order(our_name: str, value: Tensor, from_release: bool) -> Tensor:
    """Reorder the channels where Swin merges 2x2 patches.

    The release lines up the four patches (column by column), each with all of its channels; mmdet
    unfolds, so that each channel comes with its four patches (row by row).
    """
    if not re.search(r'\.downsample\.(reduction|norm)\.', our_name) or '.stages.' not in our_name:
        return value
    lead, channels = value.shape[:-1], value.shape[-1] // 4
    if from_release:  # (column, row, channel) -> (channel, row, column)
        value = value.reshape(*lead, 2, 2, channels).transpose(-1, -3)
    else:
        value = value.reshape(*lead, channels, 2, 2).transpose(-1, -3)
    return value.reshape(*lead, 4 * channels)


def _is_index(name: str) -> bool:
    return name.endswith('relative_position_index')


def _their_index(our_name: str) -> str:
    return _BACKBONE + our_name.removeprefix(_OUR_BACKBONE).replace('stages.', 'layers.').replace(
        'attn.w_msa.', 'attn.'
    )


def _few(names: list[str]) -> str:
    return ', '.join(names[:5]) + (', ...' if len(names) > 5 else '')
