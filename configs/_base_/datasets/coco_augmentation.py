# What a training image of COCO goes through. In a pair each frame goes through it for itself.
coco_augmentation = [
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='RandomApply',
        prob=0.5,
        transforms=[
            # The short side; the long one follows. Pillow's antialiased filter, see AlignedResize.
            dict(
                type='RandomChoiceResize',
                resize_type='AlignedResize',
                scales=[(100000, 400), (100000, 500), (100000, 600)],
            ),
            dict(
                type='RandomCrop',
                crop_type='absolute_range',
                crop_size=(384, 600),
                allow_negative_crop=True,
            ),
        ],
    ),
    dict(
        type='RandomChoiceResize',
        resize_type='AlignedResize',
        scales=[
            (1333, 320),
            (1333, 352),
            (1333, 392),
            (1333, 416),
            (1333, 448),
            (1333, 480),
            (1333, 512),
            (1333, 544),
            (1333, 576),
            (1333, 608),
            (1333, 640),
        ],
    ),
    dict(type='BoxesFromMasks'),
]
