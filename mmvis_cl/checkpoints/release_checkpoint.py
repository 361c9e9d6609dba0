"""Checkpoints of the authors' release, turned into ours and back.

The release is built on detectron2 and saves a state dict of other names, and of another order of
channels where Swin merges patches. `name_table` says which name is which; everything else follows
from it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from .renaming import (
    ATTENTION,
    DEFORMABLE_ATTENTION,
    LINEAR,
    OUR_BACKBONE,
    Backbone,
    NameTable,
    Renaming,
    backbone_of,
    count,
    to_our_names,
    to_their_names,
    without_indices,
)

# where `to_release` finds what the release saves and our model has no place for
REST_KEY = 'release_rest'

_DETR = 'detr.detr.'
_BACKBONE = 'detr.detr.backbone.0.backbone.'


@dataclass(frozen=True)
class Structure(Backbone):
    """What the names of a state dict tell of the network.

    Attributes:
        encoder_layers (int): of the transformer.
        decoder_layers (int): of the transformer.
    """

    encoder_layers: int
    decoder_layers: int


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
    return to_our_names(release, _renaming(structure_of(without_indices(release), release=True)))


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
    structure = structure_of(without_indices(ours), release=False)
    return to_their_names(ours, _renaming(structure), rest)


def _renaming(structure: Structure) -> Renaming:
    unused = {f'{_BACKBONE}norm0.{p}' for p in LINEAR} if structure.swin else set()
    return Renaming(name_table(structure), _BACKBONE, 'of the release', unused)


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
    transformer = f'{_DETR}transformer.' if release else 'detector.'
    encoder_layers = count(names, f'{transformer}encoder.layers.')
    backbone = backbone_of(names, _BACKBONE if release else OUR_BACKBONE, release, encoder_layers)
    return Structure(
        **vars(backbone),
        encoder_layers=encoder_layers,
        decoder_layers=count(names, f'{transformer}decoder.layers.'),
    )


def name_table(structure: Structure) -> dict[str, str]:
    """Our name for every parameter and buffer of the release.

    Args:
        structure (Structure): of the network.

    Returns:
        dict[str, str]: the release's names to ours. The box branches stand in it under both of
        the release's names.
    """
    table = NameTable()
    transformer = _DETR + 'transformer'
    table[f'{transformer}.level_embed'] = 'detector.level_embed'
    table[f'{_DETR}query_embed.weight'] = 'detector.query_embedding.weight'
    table.add(f'{transformer}.reference_points', 'detector.reference_points_fc')
    for i in range(structure.encoder_layers):
        theirs, ours = f'{transformer}.encoder.layers.{i}', f'detector.encoder.layers.{i}'
        table.add(f'{theirs}.self_attn', f'{ours}.self_attn', DEFORMABLE_ATTENTION)
        table.add(f'{theirs}.norm1', f'{ours}.norms.0')
        table.add_ffn(theirs, ours)
        table.add(f'{theirs}.norm2', f'{ours}.norms.1')
    for i in range(structure.decoder_layers):
        theirs, ours = f'{transformer}.decoder.layers.{i}', f'detector.decoder.layers.{i}'
        # the release numbers the norms in the order of their making, mmdet in that of their use
        table.add(f'{theirs}.self_attn', f'{ours}.self_attn.attn', ATTENTION)
        table.add(f'{theirs}.norm2', f'{ours}.norms.0')
        table.add(f'{theirs}.cross_attn', f'{ours}.cross_attn', DEFORMABLE_ATTENTION)
        table.add(f'{theirs}.norm1', f'{ours}.norms.1')
        table.add_ffn(theirs, ours)
        table.add(f'{theirs}.norm3', f'{ours}.norms.2')
        table.add(f'{_DETR}class_embed.{i}', f'detector.bbox_head.cls_branches.{i}')
        for box in (f'{transformer}.decoder.bbox_embed', f'{_DETR}bbox_embed'):
            table.add_mlp(f'{box}.{i}', f'detector.bbox_head.reg_branches.{i}')
    for level in range(4):
        ours = f'convs.{level}' if level < 3 else 'extra_convs.0'
        table.add(f'{_DETR}input_proj.{level}.0', f'detector.neck.{ours}.conv')
        table.add(f'{_DETR}input_proj.{level}.1', f'detector.neck.{ours}.gn')
    table.add_mlp('detr.controller', 'detector.mask_head.controller')
    for theirs, ours in {
        'lay1': 'feat_convs.0',
        'lay2': 'feat_convs.1',
        'lay3': 'fuse_convs.0',
        'lay4': 'fuse_convs.1',
        'dcn': 'fuse_convs.2',
    }.items():
        table.add(f'detr.mask_head.{theirs}', f'detector.mask_head.{ours}')
    table.add_mlp('detr.reid_embed_head', 'embed_head.embed')
    table.add_backbone(structure, _BACKBONE, first_norm=1)
    return table


def is_release(names: Iterable[str]) -> bool:
    """Whether a state dict's names are the release's."""
    return any(name.startswith('detr.detr.') for name in names)


def is_our_detr(names: Iterable[str]) -> bool:
    """Whether a state dict's names are those of our :class:`MaskDeformableDETR`."""
    return 'detector.level_embed' in names
