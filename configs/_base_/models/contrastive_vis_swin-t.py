# Swin-T with windows of 7, pretrained at 224x224 on ImageNet-1k; drop path 0.2.
_base_ = './contrastive_vis_r50.py'

model = dict(
    detector=dict(
        backbone=dict(
            _delete_=True,
            type='SwinTransformer',
            embed_dims=96,
            depths=(2, 2, 6, 2),
            num_heads=(3, 6, 12, 24),
            window_size=7,
            patch_norm=True,
            drop_path_rate=0.2,
            out_indices=(1, 2, 3),
            convert_weights=True,
            init_cfg=dict(
                type='Pretrained',
                checkpoint='https://github.com/SwinTransformer/storage/releases/download/v1.0.0/'
                'swin_tiny_patch4_window7_224.pth',
            ),
        ),
        neck=dict(in_channels=[192, 384, 768]),
    )
)
