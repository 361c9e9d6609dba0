"""Names of the authors' released checkpoints, and of ours."""

import re

from torch import Tensor

# (pattern of the release's name, ours); the first that fits the whole name is taken
_MLP = {'0': '0', '1': '2', '2': '4'}
_DECODER_NORM = {'1': '1', '2': '0', '3': '2'}  # the release numbers them by type, mmdet by order
_RULES = [
    (r'detr\.detr\.transformer\.level_embed', 'detector.level_embed'),
    (r'detr\.detr\.transformer\.reference_points\.(\w+)', r'detector.reference_points_fc.\1'),
    (r'detr\.detr\.query_embed\.weight', 'detector.query_embedding.weight'),
    (
        r'detr\.detr\.transformer\.(\w+)\.layers\.(\d+)\.linear1\.(\w+)',
        r'detector.\1.layers.\2.ffn.layers.0.0.\3',
    ),
    (
        r'detr\.detr\.transformer\.(\w+)\.layers\.(\d+)\.linear2\.(\w+)',
        r'detector.\1.layers.\2.ffn.layers.1.\3',
    ),
    (
        r'detr\.detr\.transformer\.encoder\.layers\.(\d+)\.norm(\d)\.(\w+)',
        lambda m: f'detector.encoder.layers.{m[1]}.norms.{int(m[2]) - 1}.{m[3]}',
    ),
    (
        r'detr\.detr\.transformer\.decoder\.layers\.(\d+)\.norm(\d)\.(\w+)',
        lambda m: f'detector.decoder.layers.{m[1]}.norms.{_DECODER_NORM[m[2]]}.{m[3]}',
    ),
    (
        r'detr\.detr\.transformer\.decoder\.layers\.(\d+)\.self_attn\.(.+)',
        r'detector.decoder.layers.\1.self_attn.attn.\2',
    ),
    (
        r'detr\.detr\.transformer\.(\w+)\.layers\.(\d+)\.(self|cross)_attn\.(.+)',
        r'detector.\1.layers.\2.\3_attn.\4',
    ),
    (r'detr\.detr\.class_embed\.(\d+)\.(\w+)', r'detector.bbox_head.cls_branches.\1.\2'),
    (
        # the same tensors under two names
        r'detr\.detr\.(?:transformer\.decoder\.)?bbox_embed\.(\d+)\.layers\.(\d)\.(\w+)',
        lambda m: f'detector.bbox_head.reg_branches.{m[1]}.{_MLP[m[2]]}.{m[3]}',
    ),
    (r'detr\.detr\.input_proj\.([012])\.0\.(\w+)', r'detector.neck.convs.\1.conv.\2'),
    (r'detr\.detr\.input_proj\.([012])\.1\.(\w+)', r'detector.neck.convs.\1.gn.\2'),
    (r'detr\.detr\.input_proj\.3\.0\.(\w+)', r'detector.neck.extra_convs.0.conv.\1'),
    (r'detr\.detr\.input_proj\.3\.1\.(\w+)', r'detector.neck.extra_convs.0.gn.\1'),
    (
        r'detr\.controller\.layers\.(\d)\.(\w+)',
        lambda m: f'detector.mask_head.controller.{_MLP[m[1]]}.{m[2]}',
    ),
    (
        r'detr\.mask_head\.lay([12])\.(\w+)',
        lambda m: f'detector.mask_head.feat_convs.{int(m[1]) - 1}.{m[2]}',
    ),
    (
        r'detr\.mask_head\.lay([34])\.(\w+)',
        lambda m: f'detector.mask_head.fuse_convs.{int(m[1]) - 3}.{m[2]}',
    ),
    (r'detr\.mask_head\.dcn\.(\w+)', r'detector.mask_head.fuse_convs.2.\1'),
    (
        r'detr\.reid_embed_head\.layers\.(\d)\.(\w+)',
        lambda m: f'embed_head.embed.{_MLP[m[1]]}.{m[2]}',
    ),
    # ResNet, detectron2's names
    (r'detr\.detr\.backbone\.0\.backbone\.stem\.conv1\.weight', 'detector.backbone.conv1.weight'),
    (r'detr\.detr\.backbone\.0\.backbone\.stem\.conv1\.norm\.(\w+)', r'detector.backbone.bn1.\1'),
    (
        r'detr\.detr\.backbone\.0\.backbone\.res(\d)\.(\d+)\.(shortcut|conv(\d))(\.norm)?\.(\w+)',
        lambda m: (
            f'detector.backbone.layer{int(m[1]) - 1}.{m[2]}.'
            + (
                f'downsample.{1 if m[5] else 0}'
                if m[3] == 'shortcut'
                else f'{"bn" if m[5] else "conv"}{m[4]}'
            )
            + f'.{m[6]}'
        ),
    ),
]


def rename(name: str) -> str | None:
    """Our name of a parameter or buffer of the release, None where we have no such thing."""
    for pattern, ours in _RULES:
        match = re.fullmatch(pattern, name)
        if match:
            return ours(match) if callable(ours) else match.expand(ours)
    return None


def convert(release: dict[str, Tensor]) -> dict[str, Tensor]:
    """A release's state dict under our names.

    Args:
        release (dict[str, Tensor]): the release's state dict, without a prefix.

    Returns:
        dict[str, Tensor]: for :class:`ContrastiveVIS` of the same size.
    """
    return {ours: value for name, value in release.items() if (ours := rename(name))}
