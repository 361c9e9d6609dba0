# CTVIS on Swin-L with windows of 12, and 200 queries.
_base_ = './ctvis_r50.py'

model = dict(
    detector=dict(
        backbone=dict(
            _delete_=True,
            type='SwinTransformer',
            pretrain_img_size=384,
            embed_dims=192,
            depths=(2, 2, 18, 2),
            num_heads=(6, 12, 24, 48),
            window_size=12,
            drop_path_rate=0.3,
            patch_norm=True,
            out_indices=(0, 1, 2, 3),
            with_cp=True,  # gradient checkpointing
            convert_weights=True,
            init_cfg=dict(
                type='Pretrained',
                checkpoint='https://github.com/SwinTransformer/storage/releases/download/v1.0.0/'
                'swin_large_patch4_window12_384_22k.pth',
            ),
        ),
        panoptic_head=dict(in_channels=[192, 384, 768, 1536], num_queries=200),
    )
)
