# ConvNeXt-L, pretrained on ImageNet-22k. The report names no drop path for it: 0.3, as for Swin-L.
_base_ = './contrastive_vis_convnext-t.py'

model = dict(
    detector=dict(
        backbone=dict(
            model_name='convnext_large.fb_in22k',
            drop_path_rate=0.3,
            with_cp=True,  # gradient checkpointing
        ),
        neck=dict(in_channels=[384, 768, 1536]),
    )
)
