# Moving shapes, made by tools/dataset_converters/make_moving_shapes.py (160x96 pixels by default).
# The same tree serves data of your own:
#   data/moving_shapes/train.json  valid.json  JPEGImages/VIDEO/00000.jpg
# For another frame size change the scales, (largest long side, short side), as
# configs/vis_cl/small_paste.py does.
_base_ = '../tta.py'

dataset_type = 'VISDataset'
data_root = 'data/moving_shapes/'
classes = ('disk', 'triangle', 'star')
image_prefix = dict(img_path='JPEGImages')
scales = [(224, 80), (224, 88), (224, 96), (224, 104), (224, 112)]
test_scale = (224, 112)  # the largest that it was trained on
tta = dict(scales=[(224, 96), (224, 104), (224, 112)])

train_pipeline = [
    dict(type='KeyRefFrameSample', frame_range=10),
    dict(
        type='TransformBroadcaster',
        transforms=[
            dict(type='LoadFrame'),
            dict(type='LoadTrackAnnotations', with_mask=True),
        ],
    ),
    # Half of the pairs are cropped, each frame to a size and at a place of its own.
    dict(
        type='RandomApply',
        prob=0.5,
        transforms=[
            dict(
                type='TransformBroadcaster',
                share_random_params=False,
                transforms=[
                    dict(
                        type='RandomCrop',
                        crop_type='relative_range',
                        crop_size=(0.7, 0.7),
                        allow_negative_crop=True,
                    )
                ],
            )
        ],
    ),
    # Both frames alike.
    dict(
        type='TransformBroadcaster',
        share_random_params=True,
        transforms=[
            dict(type='RandomChoiceResize', resize_type='AlignedResize', scales=scales),
            dict(type='RandomFlip', prob=0.5),
            dict(type='BoxesFromMasks'),
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

# With num_workers=0 persistent_workers must be False. The sampler takes randomness.seed.
train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='SeededInfiniteSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='train.json',
        data_prefix=image_prefix,
        classes=classes,
        pipeline=train_pipeline,
    ),
)
# Frame by frame, in order; all frames of a video in one process.
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='TrackImgSampler'),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='valid.json',
        data_prefix=image_prefix,
        classes=classes,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='VISMetric', ann_file=data_root + 'valid.json')
test_evaluator = val_evaluator
