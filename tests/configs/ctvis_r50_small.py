# The small variant of CTVIS's release on which its outputs were measured.
_base_ = ['../../configs/_base_/models/ctvis_r50.py']

model = dict(
    detector=dict(
        backbone=dict(init_cfg=None),
        panoptic_head=dict(
            num_classes=5,
            embed_dims=64,
            decoder_ffn_dims=128,
            num_encoder_layers=2,
            num_decoder_layers=3,
            num_queries=20,
        ),
        train_cfg=dict(num_points=256),
    ),
    test_cfg=dict(max_tracks=5),
)
