"""State dicts under other names and back: what the releases built on detectron2 have in common.

A table says which name of theirs is which of ours; everything else follows from it. Swin's channels
are in another order where it merges patches, and its tables of window positions are made anew.
"""

import math
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from mmvis_cl.errors import InputError

LINEAR = ('weight', 'bias')
ATTENTION = ('in_proj_weight', 'in_proj_bias', 'out_proj.weight', 'out_proj.bias')
DEFORMABLE_ATTENTION = tuple(
    f'{part}.{parameter}'
    for part in ('sampling_offsets', 'attention_weights', 'value_proj', 'output_proj')
    for parameter in LINEAR
)
OUR_BACKBONE = 'detector.backbone.'
_RESNET_BLOCKS: dict[tuple[int, ...], int] = {
    (3, 4, 6, 3): 50,
    (3, 4, 23, 3): 101,
    (3, 8, 36, 3): 152,
}
_BATCH_NORM = ('weight', 'bias', 'running_mean', 'running_var')


class Renaming(NamedTuple):
    """How the names of a release and ours belong together.

    Attributes:
        table (dict[str, str]): the release's names to ours; two of theirs may be one of ours.
        backbone (str): what the release's names of the backbone begin with.
        whose (str): 'of the release' or so, for errors.
        unused (Collection[str]): names of the release that our model has no place for.
    """

    table: dict[str, str]
    backbone: str
    whose: str
    unused: Collection[str] = ()


def to_our_names(
    release: dict[str, Tensor], names: Renaming
) -> tuple[dict[str, Tensor], dict[str, Tensor | None]]:
    """A release's state dict under our names.

    Args:
        release (dict[str, Tensor]): the release's state dict.
        names (Renaming): of this release.

    Returns:
        tuple: the state dict for our model, and what :func:`to_their_names` needs beyond it to give
        back exactly ``release``: tensors that our model has no use for, and None for names that
        ``release`` lacks.

    Raises:
        InputError: names are missing or unknown, or a tensor is not what its name says.
    """
    compare(without_indices(release), names.table, names.unused, names.whose)
    ours = {}
    for theirs, name in names.table.items():
        # the box branches have two names; the second one wins, as when the release loads them
        ours[name] = _merge_order(name, release[theirs], from_release=True)
    for table_name in [name for name in ours if name.endswith('relative_position_bias_table')]:
        index_name = table_name.replace('bias_table', 'index')
        ours[index_name] = index = window_index(ours[table_name], table_name)
        their_name = _their_index(index_name, names.backbone)
        given = release.get(their_name)
        if given is not None and not torch.equal(given, index):
            raise InputError(
                f'{their_name} is not the index of a window of '
                f'{math.isqrt(len(index))}x{math.isqrt(len(index))}: the file is damaged or of '
                'another implementation'
            )
    back = to_their_names(ours, names)
    rest: dict[str, Tensor | None] = {
        name: value
        for name, value in release.items()
        if name not in back or not torch.equal(back[name], value)
    }
    rest |= {name: None for name in back if name not in release}
    return ours, rest


def to_their_names(
    ours: dict[str, Tensor], names: Renaming, rest: dict[str, Tensor | None] | None = None
) -> dict[str, Tensor]:
    """Our state dict under a release's names, the way back of :func:`to_our_names`.

    Args:
        ours (dict[str, Tensor]): our model's state dict.
        names (Renaming): of the release.
        rest (dict[str, Tensor | None], optional): the second result of :func:`to_our_names`.

    Returns:
        dict[str, Tensor]: the release's state dict.

    Raises:
        InputError: names are missing, or the release has none for them.
    """
    compare(without_indices(ours), names.table.values(), (), 'of ours')
    release = {
        theirs: _merge_order(name, ours[name], from_release=False)
        for theirs, name in names.table.items()
    }
    release |= {
        _their_index(name, names.backbone): value for name, value in ours.items() if _is_index(name)
    }
    for name, value in (rest or {}).items():
        if value is None:
            release.pop(name, None)
        else:
            release[name] = value
    return release


@dataclass(frozen=True)
class Backbone:
    """What the names of a state dict tell of the backbone.

    Attributes:
        swin (bool): it is a Swin Transformer, else a ResNet.
        blocks (tuple[int, ...]): of its stages.
        patch_norm (bool): Swin normalises its patches.
        absolute_positions (bool): Swin adds a learned embedding of absolute positions.
    """

    swin: bool
    blocks: tuple[int, ...]
    patch_norm: bool
    absolute_positions: bool


def backbone_of(names: Collection[str], prefix: str, release: bool, layers: int) -> Backbone:
    """The backbone that a state dict is of.

    Args:
        names (Collection[str]): of the state dict.
        prefix (str): of the backbone's names.
        release (bool): the names are detectron2's, else ours.
        layers (int): that the transformer has.

    Returns:
        Backbone: as far as the names go; blocks that are missing at the end cannot be noticed.

    Raises:
        InputError: there is no transformer, or no known backbone.
    """
    resnet, first_stage, swin = ('res', 2, 'layers.') if release else ('layer', 1, 'stages.')
    stages = count(names, prefix + swin)
    resnet_blocks = tuple(count(names, f'{prefix}{resnet}{first_stage + i}.') for i in range(4))
    if not layers or bool(stages) == any(resnet_blocks):
        raise InputError(
            'not the weights of this model on a ResNet or a Swin Transformer; the names are '
            f'{few(names)}'
        )
    if not stages and resnet_blocks not in _RESNET_BLOCKS:
        raise InputError(
            f'{"-".join(map(str, resnet_blocks))} blocks in {prefix}{resnet}{first_stage} and '
            'the stages after it, as no ResNet has (50: 3-4-6-3, 101: 3-4-23-3, 152: 3-8-36-3): '
            'the file is incomplete'
        )
    return Backbone(
        swin=stages > 0,
        blocks=tuple(count(names, f'{prefix}{swin}{i}.blocks.') for i in range(stages))
        or resnet_blocks,
        patch_norm=f'{prefix}patch_embed.norm.weight' in names,
        absolute_positions=f'{prefix}absolute_pos_embed' in names,
    )


def count(names: Iterable[str], prefix: str) -> int:
    """How many layers or blocks there are, by the largest number after ``prefix``."""
    pattern = re.compile(re.escape(prefix) + r'(\d+)\.')
    found = [int(match[1]) for name in names if (match := pattern.match(name))]
    return max(found, default=-1) + 1


class NameTable(dict[str, str]):
    """The release's names to ours, filled module by module."""

    def add(self, theirs: str, ours: str, parameters: Iterable[str] = LINEAR) -> None:
        """One module."""
        self.update({f'{theirs}.{p}': f'{ours}.{p}' for p in parameters})

    def add_mlp(self, theirs: str, ours: str) -> None:
        """Three linear layers; ours has a ReLU after each but the last."""
        for layer in range(3):
            self.add(f'{theirs}.layers.{layer}', f'{ours}.{2 * layer}')

    def add_ffn(self, theirs: str, ours: str) -> None:
        """The two linear layers of a feed-forward network."""
        self.add(f'{theirs}.linear1', f'{ours}.ffn.layers.0.0')
        self.add(f'{theirs}.linear2', f'{ours}.ffn.layers.1')

    def add_backbone(self, structure: Backbone, prefix: str, first_norm: int) -> None:
        """ResNet or Swin; of Swin's norms those from level ``first_norm`` on."""
        table = _swin_table(structure, first_norm) if structure.swin else _resnet_table(structure)
        self.update({prefix + theirs: OUR_BACKBONE + ours for theirs, ours in table.items()})


def compare(
    names: Iterable[str], expected: Iterable[str], unused: Collection[str], whose: str
) -> None:
    """Make sure that a state dict has all names, and no others.

    Raises:
        InputError: It has not.
    """
    found, wanted = set(names), set(expected)
    problems = [
        f'{len(keys)} {what} ({few(sorted(keys))})'
        for what, keys in (
            ('missing', wanted - found),
            ('unknown', found - wanted - set(unused)),
        )
        if keys
    ]
    if problems:
        raise InputError(
            f'not a complete checkpoint {whose}: of {len(wanted)} names '
            + ', '.join(problems)
            + '; use another file, or the converter of its own project'
        )


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


def _resnet_table(structure: Backbone) -> dict[str, str]:
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


def _swin_table(structure: Backbone, first_norm: int) -> dict[str, str]:
    table = NameTable()
    add = table.add
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
        if stage >= first_norm:
            add(f'norm{stage}', f'norm{stage}')
    return table


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


def without_indices(names: Iterable[str]) -> list[str]:
    """The names without those of Swin's window positions, and of counters of batches."""
    return [n for n in names if not n.endswith('num_batches_tracked') and not _is_index(n)]


def _their_index(our_name: str, their_backbone: str) -> str:
    return their_backbone + our_name.removeprefix(OUR_BACKBONE).replace(
        'stages.', 'layers.'
    ).replace('attn.w_msa.', 'attn.')


def few(names: Iterable[str]) -> str:
    """The first names, for an error."""
    names = list(names)
    return ', '.join(names[:5]) + (', ...' if len(names) > 5 else '')
