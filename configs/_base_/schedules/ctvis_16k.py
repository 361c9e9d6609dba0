# CTVIS's training: 16,000 iterations of 16 clips (8 GPUs x 2), whatever the data.
max_iters = 16000

# The official validation sets have no public annotations, see ytvis_12k.py.
train_cfg = dict(
    type='IterBasedTrainLoop', max_iters=max_iters, val_begin=max_iters + 1, val_interval=max_iters
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

no_decay = dict(decay_mult=0.0)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05, fused=True),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        custom_keys={
            'backbone': dict(lr_mult=0.1),
            'panoptic_head.query_feat': no_decay,
            'panoptic_head.query_embed': no_decay,
            # the decoder's; that of the pixel decoder does decay
            'panoptic_head.level_embed': no_decay,
        },
    ),
    clip_grad=dict(max_norm=0.01, norm_type=2),
)

param_scheduler = [
    # The release's warm-up has factor 1: it has no effect, and is here to be changed.
    dict(type='LinearLR', start_factor=1.0, by_epoch=False, begin=0, end=10),
    dict(
        type='MultiStepLR',
        by_epoch=False,
        begin=0,
        end=max_iters,
        milestones=[6000, 12000],
        gamma=0.1,
    ),
]

# With another number of clips an iteration, auto_scale_lr.enable=True scales the rate with it.
auto_scale_lr = dict(enable=False, base_batch_size=16)
