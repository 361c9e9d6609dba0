# The small network on real objects: eight classes, videos of 320x180 pixels, in the tree of the
# moving shapes (train.json, valid.json, JPEGImages/). A pattern for data of your own.
#   VIS_DATA=path/to/data/ python tools/train.py configs/vis_cl/small_paste.py
_base_ = ['./small_moving-shapes.py']

data_root = '{{$VIS_DATA:data/paste/}}'
scales = [(288, 112), (288, 128), (288, 144), (288, 160)]
test_scale = (288, 144)

train_pipeline = [
    dict(type='KeyRefFrameSample', frame_range=10),
    dict(
        type='TransformBroadcaster',
        share_random_params=False,
        transforms=[
            dict(type='LoadFrame'),
            dict(type='LoadTrackAnnotations', with_mask=True),
            dict(
                type='RandomApply',
                prob=0.5,
                transforms=[
                    dict(
                        type='RandomCrop',
                        crop_type='relative_range',
                        crop_size=(0.7, 0.7),
                        allow_negative_crop=True,
                        recompute_bbox=True,
                    )
                ],
            ),
        ],
    ),
    dict(
        type='TransformBroadcaster',
        share_random_params=True,
        transforms=[
            dict(type='RandomFlip', prob=0.5),
            dict(type='RandomChoiceResize', resize_type='AlignedResize', scales=scales),
            dict(type='DropEmptyInstances'),
        ],
    ),
    dict(type='PackVISInputs'),
]
test_pipeline = [
    dict(
        type='TransformBroadcaster',
        transforms=[
            dict(type='LoadFrame'),
            dict(type='AlignedResize', scale=test_scale),
        ],
    ),
    dict(type='PackVISInputs'),
]

# classes=None: those of the file
train_dataloader = dict(dataset=dict(data_root=data_root, classes=None, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root=data_root, classes=None, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'valid.json')
test_evaluator = val_evaluator

model = dict(detector=dict(bbox_head=dict(num_classes=8)))

# half an hour on one CPU core
max_iters = 1500
train_cfg = dict(max_iters=max_iters, val_interval=750)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=50),
    dict(
        type='CosineAnnealingLR',
        by_epoch=False,
        begin=50,
        end=max_iters,
        T_max=max_iters - 50,
        eta_min_ratio=0.01,
    ),
]
