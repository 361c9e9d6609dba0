# mmdet's MaskTrack R-CNN trained on still images: each, augmented twice, is a pair of frames.
#   python tools/dataset_converters/vis_to_coco.py data/moving_shapes/train.json \
#       data/moving_shapes/train_images.json --every 8
_base_ = '../masktrack_rcnn_memory_bank/small_moving-shapes.py'

train_pipeline = [
    dict(type='mmvis_cl.PseudoPair'),
    # Each frame for itself.
    dict(
        type='TransformBroadcaster',
        share_random_params=False,
        transforms=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadTrackAnnotations', with_mask=True),
            dict(
                type='RandomResize',
                scale=_base_.shapes_scale,
                ratio_range=(0.8, 1.4),
                resize_type='Resize',
                keep_ratio=True,
            ),
            dict(type='RandomFlip', prob=0.5),
            dict(
                type='RandomCrop',
                crop_type='absolute',
                crop_size=(153, 256),
                allow_negative_crop=True,
            ),
            dict(type='mmvis_cl.BoxesFromMasks'),
        ],
    ),
    # Frames of different sizes.
    dict(type='mmvis_cl.PackVISInputs'),
]
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='CocoDataset',
        data_root=_base_.shapes_root,
        ann_file='train_images.json',
        data_prefix=dict(img='JPEGImages'),
        metainfo=dict(classes=_base_.shapes_classes),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline,
    ),
    # mmdet's data sets take no seeded indices
    sampler=dict(_delete_=True, type='InfiniteSampler', shuffle=True),
)
