# YouTube-VIS 2019. Expected tree:
#   data/youtube_vis_2019/train.json  train/JPEGImages/VIDEO/00000.jpg
#   data/youtube_vis_2019/valid.json  valid/JPEGImages/VIDEO/00000.jpg
#   data/youtube_vis_2019/test.json   test/JPEGImages/VIDEO/00000.jpg
# tools/dataset_converters/check_vis.py data/youtube_vis_2019 says what is missing or broken.
_base_ = '../tta.py'

dataset_type = 'VISDataset'
data_root = 'data/youtube_vis_2019/'
classes = '2019'

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
        data_prefix=dict(img_path='train/JPEGImages'),
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
        data_prefix=dict(img_path='valid/JPEGImages'),
        classes=classes,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
# The test split instead (tools/test.py, in one line):
#   --cfg-options test_dataloader.dataset.ann_file=test.json
#   test_dataloader.dataset.data_prefix.img_path=test/JPEGImages
#   test_evaluator.ann_file=data/youtube_vis_2019/test.json
test_dataloader = val_dataloader

# The official validation set has no public annotations: results are written for the evaluation
# server. For a split of your own set ann_file and img_path of val_dataloader.dataset, ann_file here
# to the same file, and format_only=False.
val_evaluator = dict(
    type='VISMetric',
    ann_file=data_root + 'valid.json',
    format_only=True,
    outfile_prefix='work_dirs/ytvis19_valid',
)
test_evaluator = val_evaluator
