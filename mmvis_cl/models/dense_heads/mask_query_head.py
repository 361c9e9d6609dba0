"""Mask2Former's head: a pixel decoder, and queries that attend where their own masks are."""

from collections.abc import Sequence
from functools import partial

from mmdet.models.dense_heads import Mask2FormerHead
from mmengine.config import ConfigDict

from mmvis_cl.registry import MODELS


@MODELS.register_module()
class MaskQueryHead(Mask2FormerHead):
    """mmdet's Mask2Former head, for objects alone; same parameters under the same names.

    Widths and counts are given here once and handed on to pixel decoder and decoder.

    Args:
        num_classes (int): classes K.
        in_channels (Sequence[int]): of the backbone's maps at strides 4, 8, 16 and 32.
        embed_dims (int): channels C of all that follows.
        encoder_ffn_dims (int): channels inside the feed-forward networks of the pixel decoder.
        decoder_ffn_dims (int): channels inside those of the decoder.
        num_encoder_layers (int): layers of deformable attention over strides 8, 16 and 32.
        num_decoder_layers (int): layers of the decoder; there is one prediction more.
        num_queries (int): learned queries.
        num_heads (int): heads of every attention.
        num_points (int): sampling points a head and level.
        dropout (float): of attentions and feed-forward networks.
        norm_groups (int): of the group normalisation of the pixel decoder.
        attention (str): how deformable attention sums its samples, see
            :class:`MaskDeformableDETR`.
        no_object_weight (float): of the class 'no object' in the class loss; the others have 1.
        loss_cls (dict): softmax cross entropy; its ``class_weight`` is set.
        loss_mask (dict): element-wise loss of the mask logits at random points.
        loss_dice (dict): loss of whole masks, over the same points.
        train_cfg (dict, optional): ``assigner``, ``sampler``, ``num_points``, ``oversample_ratio``
            and ``importance_sample_ratio``, as mmdet's.
        test_cfg (dict, optional): not used.
        init_cfg (dict, optional): mmengine's initialisation config.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: Sequence[int],
        embed_dims: int = 256,
        encoder_ffn_dims: int = 1024,
        decoder_ffn_dims: int = 2048,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 9,
        num_queries: int = 100,
        num_heads: int = 8,
        num_points: int = 4,
        dropout: float = 0.0,
        norm_groups: int = 32,
        attention: str = 'auto',
        no_object_weight: float = 0.1,
        loss_cls: dict | None = None,
        loss_mask: dict | None = None,
        loss_dice: dict | None = None,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        # built anew at each use: mmdet's layers write into what they are given
        attend = partial(
            dict, embed_dims=embed_dims, num_heads=num_heads, dropout=dropout, batch_first=True
        )
        ffn = partial(dict, embed_dims=embed_dims, num_fcs=2, ffn_drop=dropout)
        positions = dict(num_feats=embed_dims // 2, normalize=True)
        levels = len(in_channels) - 1
        super().__init__(
            in_channels=list(in_channels),
            feat_channels=embed_dims,
            out_channels=embed_dims,
            num_things_classes=num_classes,
            num_stuff_classes=0,
            num_queries=num_queries,
            num_transformer_feat_level=levels,
            pixel_decoder=ConfigDict(
                type='mmvis_cl.MaskPixelDecoder',
                num_outs=levels,
                norm_cfg=dict(type='GN', num_groups=norm_groups),
                act_cfg=dict(type='ReLU'),
                encoder=dict(
                    num_layers=num_encoder_layers,
                    layer_cfg=dict(
                        self_attn_cfg=attend(num_levels=levels, num_points=num_points),
                        ffn_cfg=ffn(feedforward_channels=encoder_ffn_dims),
                    ),
                ),
                positional_encoding=positions,
                attention=attention,
            ),
            transformer_decoder=ConfigDict(
                return_intermediate=True,
                num_layers=num_decoder_layers,
                layer_cfg=dict(
                    self_attn_cfg=attend(),
                    cross_attn_cfg=attend(),
                    ffn_cfg=ffn(feedforward_channels=decoder_ffn_dims),
                ),
                init_cfg=None,
            ),
            positional_encoding=positions,
            loss_cls=ConfigDict(
                loss_cls or dict(type='mmdet.CrossEntropyLoss', loss_weight=2.0),
                class_weight=[1.0] * num_classes + [no_object_weight],
            ),
            loss_mask=loss_mask
            or dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True, loss_weight=5.0),
            loss_dice=loss_dice
            or dict(type='mmdet.DiceLoss', naive_dice=True, eps=1.0, loss_weight=5.0),
            train_cfg=train_cfg,
            test_cfg=test_cfg,
            init_cfg=init_cfg,
        )
