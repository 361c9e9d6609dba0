# ConvNeXt-L, pretrained on ImageNet-22k. The report names no drop path for it: 0.3, as for Swin-L.
_base_ = './contrastive_vis_r50.py'

model = dict(
    detector=dict(
        backbone=dict(
            _delete_=True,
            type='TimmBackbone',
            model_name='convnext_large.fb_in22k',
            pretrained=True,
            out_indices=(1, 2, 3),
            strides=(8, 16, 32),
            drop_path_rate=0.3,
            with_cp=True,  # gradient checkpointing
            # a norm for each map, as mmdet's Swin has; timm's ConvNeXt ends its stages without one
            out_norm=True,
        ),
        neck=dict(in_channels=[384, 768, 1536]),
    )
)
