# ConvNeXt-T, pretrained on ImageNet-22k; drop path 0.2, as for Swin-T.
_base_ = './contrastive_vis_r50.py'

model = dict(
    detector=dict(
        backbone=dict(
            _delete_=True,
            type='TimmBackbone',
            model_name='convnext_tiny.fb_in22k',
            pretrained=True,
            out_indices=(1, 2, 3),
            strides=(8, 16, 32),
            drop_path_rate=0.2,
            # a norm for each map, as mmdet's Swin has; timm's ConvNeXt ends its stages without one
            out_norm=True,
        ),
        neck=dict(in_channels=[192, 384, 768]),
    )
)
