"""Checkpoints of CTVIS's release, and of Mask2Former's that it starts from, turned into ours.

Both are built on detectron2: a Mask2Former under one set of names, with (CTVIS) or without the
branch that makes the embeddings. `ctvis_table` says which name is which.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from .renaming import (
    ATTENTION,
    DEFORMABLE_ATTENTION,
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

_PIXELS, _QUERIES = 'sem_seg_head.pixel_decoder.', 'sem_seg_head.predictor.'
_BACKBONE = 'backbone.'
_EMBEDDING = f'{_QUERIES}reid_embed.'
_OUR_HEAD = 'detector.panoptic_head.'
# weights of the classes in the loss, a buffer
_UNUSED = {'criterion.empty_weight'}


@dataclass(frozen=True)
class MaskFormerStructure(Backbone):
    """What the names of a state dict tell of the network.

    Attributes:
        pixel_layers (int): of deformable attention in the pixel decoder.
        decoder_layers (int): of the decoder of the queries.
    """

    pixel_layers: int
    decoder_layers: int


def is_ctvis(names: Iterable[str]) -> bool:
    """Whether a state dict's names are those of CTVIS's release or of Mask2Former's."""
    return any(name.startswith(_QUERIES) for name in names)


def is_our_mask_former(names: Iterable[str]) -> bool:
    """Whether a state dict's names are those of our :class:`QueryMaskFormer`."""
    return any(name.startswith(_OUR_HEAD) for name in names)


def from_ctvis(release: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor | None]]:
    """The state dict of CTVIS's release, or of Mask2Former's, under our names.

    Args:
        release (dict[str, Tensor]): the release's state dict. Without any weight of the embeddings
            it is one of Mask2Former's, to start a training from.

    Returns:
        tuple: the state dict for a :class:`ContrastiveVIS` of a :class:`QueryMaskFormer` of the
        same size, for Mask2Former's without ``embed_head``; and what `to_ctvis` needs beyond it to
        give back exactly ``release``.

    Raises:
        InputError: names are missing or unknown, or a tensor is not what its name says.
    """
    # what the first checkpoints of Mask2Former call the content of the queries
    old, new = f'{_QUERIES}static_query.weight', f'{_QUERIES}query_feat.weight'
    renamed = {new if name == old else name: value for name, value in release.items()}
    structure = ctvis_structure(without_indices(renamed), release=True)
    embeddings = any(name.startswith(_EMBEDDING) for name in renamed)
    ours, rest = to_our_names(renamed, _renaming(structure, embeddings))
    if old in release:
        rest |= {old: release[old], new: None}
    return ours, rest


def to_ctvis(
    ours: dict[str, Tensor], rest: dict[str, Tensor | None] | None = None
) -> dict[str, Tensor]:
    """Our state dict under the release's names, the way back of `from_ctvis`.

    Args:
        ours (dict[str, Tensor]): state dict of a :class:`ContrastiveVIS` of a
            :class:`QueryMaskFormer`, with or without ``embed_head``.
        rest (dict[str, Tensor | None], optional): the second result of `from_ctvis`. Without it
            the buffer of the loss's class weights is left out.

    Returns:
        dict[str, Tensor]: the release's state dict.

    Raises:
        InputError: names are missing, or the release has none for them.
    """
    structure = ctvis_structure(without_indices(ours), release=False)
    embeddings = any(name.startswith('embed_head.') for name in ours)
    return to_their_names(ours, _renaming(structure, embeddings), rest)


def _renaming(structure: MaskFormerStructure, embeddings: bool) -> Renaming:
    table = ctvis_table(structure, embeddings)
    whose = "of CTVIS's release" if embeddings else "of Mask2Former's release"
    return Renaming(table, _BACKBONE, whose, _UNUSED)


def ctvis_structure(names: Iterable[str], release: bool) -> MaskFormerStructure:
    """The structure of the network that a state dict is of.

    Args:
        names (Iterable[str]): of the state dict.
        release (bool): the names are the release's, else ours.

    Returns:
        MaskFormerStructure: as far as the names go; layers that are missing at the end cannot be
        noticed.

    Raises:
        InputError: there is no pixel decoder, or no known backbone.
    """
    names = list(names)
    if release:
        pixels = f'{_PIXELS}transformer.encoder.layers.'
        queries = f'{_QUERIES}transformer_cross_attention_layers.'
    else:
        pixels = f'{_OUR_HEAD}pixel_decoder.encoder.layers.'
        queries = f'{_OUR_HEAD}transformer_decoder.layers.'
    pixel_layers = count(names, pixels)
    backbone = backbone_of(names, _BACKBONE if release else OUR_BACKBONE, release, pixel_layers)
    return MaskFormerStructure(
        **vars(backbone), pixel_layers=pixel_layers, decoder_layers=count(names, queries)
    )


def ctvis_table(structure: MaskFormerStructure, embeddings: bool = True) -> dict[str, str]:
    """Our name for every parameter of the release.

    Args:
        structure (MaskFormerStructure): of the network.
        embeddings (bool): with the branch that makes them.

    Returns:
        dict[str, str]: the release's names to ours.
    """
    table = NameTable()
    pixels, decoder = f'{_OUR_HEAD}pixel_decoder', f'{_OUR_HEAD}transformer_decoder'
    for level in range(3):  # from stride 32 to 8
        table.add(f'{_PIXELS}input_proj.{level}.0', f'{pixels}.input_convs.{level}.conv')
        table.add(f'{_PIXELS}input_proj.{level}.1', f'{pixels}.input_convs.{level}.gn')
    table[f'{_PIXELS}transformer.level_embed'] = f'{pixels}.level_encoding.weight'
    for i in range(structure.pixel_layers):
        theirs, ours = f'{_PIXELS}transformer.encoder.layers.{i}', f'{pixels}.encoder.layers.{i}'
        table.add(f'{theirs}.self_attn', f'{ours}.self_attn', DEFORMABLE_ATTENTION)
        table.add(f'{theirs}.norm1', f'{ours}.norms.0')
        table.add_ffn(theirs, ours)
        table.add(f'{theirs}.norm2', f'{ours}.norms.1')
    for theirs, ours in (('adapter_1', 'lateral_convs.0'), ('layer_1', 'output_convs.0')):
        table.add(f'{_PIXELS}{theirs}', f'{pixels}.{ours}.conv', ['weight'])
        table.add(f'{_PIXELS}{theirs}.norm', f'{pixels}.{ours}.gn')
    table.add(f'{_PIXELS}mask_features', f'{pixels}.mask_feature')

    for i in range(structure.decoder_layers):
        ours = f'{decoder}.layers.{i}'
        theirs = f'{_QUERIES}transformer_cross_attention_layers.{i}'
        table.add(f'{theirs}.multihead_attn', f'{ours}.cross_attn.attn', ATTENTION)
        table.add(f'{theirs}.norm', f'{ours}.norms.0')
        theirs = f'{_QUERIES}transformer_self_attention_layers.{i}'
        table.add(f'{theirs}.self_attn', f'{ours}.self_attn.attn', ATTENTION)
        table.add(f'{theirs}.norm', f'{ours}.norms.1')
        theirs = f'{_QUERIES}transformer_ffn_layers.{i}'
        table.add_ffn(theirs, ours)
        table.add(f'{theirs}.norm', f'{ours}.norms.2')
    table.add(f'{_QUERIES}decoder_norm', f'{decoder}.post_norm')
    for name in ('query_feat', 'query_embed', 'level_embed'):
        table.add(_QUERIES + name, _OUR_HEAD + name, ['weight'])
    table.add(f'{_QUERIES}class_embed', f'{_OUR_HEAD}cls_embed')
    table.add_mlp(f'{_QUERIES}mask_embed', f'{_OUR_HEAD}mask_embed')
    if embeddings:
        table.add_mlp(_EMBEDDING.removesuffix('.'), 'embed_head.embed')
    table.add_backbone(structure, _BACKBONE, first_norm=0)
    return table
