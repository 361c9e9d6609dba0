# Swin-L with windows of 12, pretrained at 384x384 on ImageNet-22k.
_base_ = './contrastive_vis_swin-t.py'

model = dict(
    detector=dict(
        backbone=dict(
            pretrain_img_size=384,
            embed_dims=192,
            depths=(2, 2, 18, 2),
            num_heads=(6, 12, 24, 48),
            window_size=12,
            drop_path_rate=0.3,
            with_cp=True,  # gradient checkpointing
            init_cfg=dict(
                checkpoint='https://github.com/SwinTransformer/storage/releases/download/v1.0.0/'
                'swin_large_patch4_window12_384_22k.pth',
            ),
        ),
        neck=dict(in_channels=[384, 768, 1536]),
    )
)
