# Moving shapes (tools/dataset_converters/make_moving_shapes.py) for configs that start from one of
# mmdet's, whose scope is mmdet's: parts of mmvis_cl have their prefix. The names are none of those
# that mmdet's configs use, so that both can be bases; a config takes what it needs by
# `_base_.NAME`.
shapes_root = 'data/moving_shapes/'
shapes_classes = ('disk', 'triangle', 'star')
shapes_scale = (320, 192)  # twice the size of the frames: two-stage detectors want large objects

shapes_train_pipeline = [
    dict(type='mmvis_cl.KeyRefFrameSample', frame_range=10),
    dict(
        type='TransformBroadcaster',
        share_random_params=True,
        transforms=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadTrackAnnotations', with_mask=True),
            dict(type='Resize', scale=shapes_scale, keep_ratio=True),
            dict(type='RandomFlip', prob=0.5),
        ],
    ),
    dict(type='PackTrackInputs'),
]
shapes_test_pipeline = [
    dict(
        type='TransformBroadcaster',
        transforms=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=shapes_scale, keep_ratio=True),
        ],
    ),
    dict(type='PackTrackInputs'),
]

shapes_train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='mmvis_cl.SeededInfiniteSampler', shuffle=True),
    dataset=dict(
        type='mmvis_cl.VISDataset',
        data_root=shapes_root,
        ann_file='train.json',
        data_prefix=dict(img_path='JPEGImages'),
        classes=shapes_classes,
        pipeline=shapes_train_pipeline,
    ),
)
shapes_test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='TrackImgSampler'),
    dataset=dict(
        type='mmvis_cl.VISDataset',
        data_root=shapes_root,
        ann_file='valid.json',
        data_prefix=dict(img_path='JPEGImages'),
        classes=shapes_classes,
        test_mode=True,
        pipeline=shapes_test_pipeline,
    ),
)
shapes_evaluator = dict(type='mmvis_cl.VISMetric', ann_file=shapes_root + 'valid.json')

# A short schedule for a small network, by iterations.
shapes_train_cfg = dict(type='IterBasedTrainLoop', max_iters=600, val_interval=600)
shapes_optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=1e-4),
    clip_grad=dict(max_norm=10, norm_type=2),
)
shapes_param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=50),
    dict(type='MultiStepLR', by_epoch=False, begin=0, end=600, milestones=[500], gamma=0.1),
]
shapes_default_hooks = dict(
    logger=dict(interval=50, log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=600, max_keep_ckpts=1),
)
shapes_log_processor = dict(type='mmvis_cl.ScoreLogProcessor', by_epoch=False)
