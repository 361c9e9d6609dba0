# The data set of pseudo pairs: one image of COCO 2017 as two frames of a video. For the tree see
# coco_instance.py. coco_pairs.py trains on it alone, coco-ytvis*.py together with videos.
_base_ = './coco_augmentation.py'

coco_pair_set = dict(
    type='COCOImages',
    data_root='data/coco/',
    ann_file='annotations/instances_train2017.json',
    data_prefix=dict(img='train2017'),
    filter_cfg=dict(filter_empty_gt=True, min_size=32),
    pipeline=[
        dict(type='PseudoPair'),
        # Each frame for itself: flip, crop and scale.
        dict(
            type='TransformBroadcaster',
            share_random_params=False,
            transforms=[
                dict(type='LoadFrame'),
                dict(type='LoadTrackAnnotations', with_mask=True),
                *_base_.coco_augmentation,
            ],
        ),
        dict(type='PackVISInputs'),
    ],
)
