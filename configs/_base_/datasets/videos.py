# Videos with annotations in the format of YouTube-VIS: pairs of their frames to train on, and frame
# by frame to test. The sizes are those of YouTube-VIS; the files are named by the data sets' own.
_base_ = ['../tta.py', './train_loader.py']

dataset_type = 'VISDataset'

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
                        crop_type='absolute_range',
                        crop_size=(384, 600),
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
            # Pillow's antialiased bilinear filter for images, see AlignedResize.
            dict(
                type='RandomChoiceResize',
                resize_type='AlignedResize',
                scales=[
                    (768, 320),
                    (768, 352),
                    (768, 392),
                    (768, 416),
                    (768, 448),
                    (768, 480),
                    (768, 512),
                    (768, 544),
                    (768, 576),
                    (768, 608),
                    (768, 640),
                ],
            ),
            dict(type='RandomFlip', prob=0.5),
            dict(type='BoxesFromMasks'),
        ],
    ),
    dict(type='PackVISInputs'),
]
# The shortest side is 480. The bound on the long side only keeps very wide videos within memory; it
# leaves anything up to an aspect ratio of 2.7 alone.
test_pipeline = [
    dict(
        type='TransformBroadcaster',
        transforms=[
            dict(type='LoadFrame'),
            dict(type='AlignedResize', scale=(1333, 480)),
        ],
    ),
    dict(type='PackVISInputs'),
]

train_dataloader = dict(dataset=dict(type=dataset_type, pipeline=train_pipeline))
# Frame by frame, in order; all frames of a video in one process.
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='TrackImgSampler'),
    dataset=dict(type=dataset_type, test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='VISMetric')
test_evaluator = val_evaluator
