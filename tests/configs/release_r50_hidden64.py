# The small variant of the release on which its outputs were measured.
_base_ = ['../../configs/_base_/models/contrastive_vis_r50.py']

model = dict(
    detector=dict(
        embed_dims=64,
        ffn_dims=128,
        num_encoder_layers=2,
        num_decoder_layers=3,
        num_queries=120,
        dropout=0.0,
        backbone=dict(init_cfg=None),
        bbox_head=dict(num_classes=5),
        mask_head=dict(feat_channels=2),
    ),
)
