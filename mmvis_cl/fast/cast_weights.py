"""Weights in the precision that autocast gives them anew in each pass."""

import torch
from mmcv.cnn.bricks import Linear as MMCVLinear
from mmdet.models.backbones import ResNet, SwinTransformer
from torch import nn

from mmvis_cl.models.detectors.deformable_detr import MaskDeformableDETR
from mmvis_cl.models.detectors.query_mask_former import QueryMaskFormer

from .packed_linear import PackedLinear

# All that these modules do with their weights is one operation that autocast casts them for.
_ONE_OPERATION = {nn.Conv2d, nn.Linear, MMCVLinear, PackedLinear}
_BACKBONES = {ResNet, SwinTransformer}  # of others it is not known what else looks at a weight


def cast_weights_once(
    detector: MaskDeformableDETR | QueryMaskFormer, precision: str | None
) -> None:
    """Store the weights of what runs under autocast in its precision; outputs stay to the bit.

    Some 90 casts of r50 are left out of each pass. The decoder, which is outside of autocast, and
    the networks that make the parameters of the dynamic masks keep their float32, and so does all
    of :class:`QueryMaskFormer` but the backbone.

    Args:
        detector: The image network; after this it runs under this autocast only.
        precision: ``test_cfg.autocast`` of its video model; nothing is done if None.
    """
    if precision is None:
        return
    parts = []
    if isinstance(detector, MaskDeformableDETR):
        head = detector.mask_head
        parts = [detector.neck, detector.encoder, head.fuse_convs, head.feat_convs]
    if type(detector.backbone) in _BACKBONES:
        parts.append(detector.backbone)
    for part in parts:
        for module in part.modules():
            if type(module) in _ONE_OPERATION:
                module.to(getattr(torch, precision))
