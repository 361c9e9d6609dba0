# The small variant of the release on a Swin Transformer on which its outputs were measured.
_base_ = ['../../configs/_base_/models/contrastive_vis_swin-l.py']

model = dict(
    detector=dict(
        embed_dims=64,
        ffn_dims=128,
        num_encoder_layers=2,
        num_decoder_layers=3,
        num_queries=120,
        dropout=0.0,
        backbone=dict(
            embed_dims=24,
            depths=(2, 2, 2, 2),
            num_heads=(2, 4, 8, 8),
            window_size=7,
            drop_path_rate=0.0,
            init_cfg=None,
        ),
        neck=dict(in_channels=[48, 96, 192]),
        bbox_head=dict(num_classes=5),
        mask_head=dict(feat_channels=2),
    ),
)
