# A small network for CPUs, trained from scratch in minutes; what `make demo` runs.
_base_ = [
    '../_base_/models/contrastive_vis_r50.py',
    '../_base_/datasets/moving_shapes.py',
    '../_base_/default_runtime.py',
]

model = dict(
    detector=dict(
        embed_dims=96,
        ffn_dims=256,
        num_encoder_layers=2,
        num_decoder_layers=3,
        num_queries=40,
        dropout=0.0,
        backbone=dict(
            _delete_=True,
            type='ResNet',
            depth=18,
            base_channels=32,
            stem_channels=32,
            deep_stem=False,
            out_indices=(1, 2, 3),
            norm_cfg=dict(type='BN'),
            norm_eval=False,
        ),
        neck=dict(in_channels=[64, 128, 256]),
        bbox_head=dict(num_classes=5),
    ),
    embed_head=dict(embed_channels=96),
)

max_iters = 1500
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=500)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=5e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=0.1, norm_type=2),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=50),
    dict(type='MultiStepLR', by_epoch=False, begin=0, end=max_iters, milestones=[1200], gamma=0.1),
]
default_hooks = dict(checkpoint=dict(interval=500, max_keep_ckpts=1))
