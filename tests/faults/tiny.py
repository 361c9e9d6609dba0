"""For tools/train.py, with this folder in PYTHONPATH."""

default_scope = 'mmvis_cl'
custom_imports = dict(imports=['tiny_parts'])
model = dict(type='TinyModel')
train_dataloader = dict(
    dataset=dict(type='TinyData'),
    batch_size=2,
    num_workers=0,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='SeededInfiniteSampler', shuffle=True),
)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=20)
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=1e-2))
default_hooks = dict(
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=4, max_keep_ckpts=1)
)
custom_hooks = [dict(type='IterationSeedHook'), dict(type='Report')]
randomness = dict(seed=3)
log_level = 'ERROR'
