# The ladder, stage 2: pseudo pairs of the same frames, 4 at a time, each augmented for itself.
_base_ = './stage3.py'

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='COCOImages',
        ann_file='{{$VIS_IMAGES:data/paste_images.json}}',
        data_prefix=dict(img='{{$VIS_DATA:data/paste/}}JPEGImages'),
        classes=None,
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=[
            dict(type='PseudoPair'),
            dict(
                type='TransformBroadcaster',
                share_random_params=False,
                transforms=[
                    dict(type='LoadFrame'),
                    dict(type='LoadTrackAnnotations', with_mask=True),
                    dict(type='RandomFlip', prob=0.5),
                    dict(
                        type='RandomApply',
                        prob=0.5,
                        transforms=[
                            dict(
                                type='RandomCrop',
                                crop_type='relative_range',
                                crop_size=(0.7, 0.7),
                                allow_negative_crop=True,
                            )
                        ],
                    ),
                    _base_.train_pipeline[3].transforms[0],  # one of the sizes of stage 3
                    dict(type='BoxesFromMasks'),
                ],
            ),
            dict(type='PackVISInputs'),
        ],
    ),
)
val_cfg = val_dataloader = val_evaluator = None

max_iters = 300
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_iters, T_max=max_iters - 50)
