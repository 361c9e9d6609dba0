# CTVIS's clips of n frames: of a video, or of an image of COCO under a moving camera. The data sets
# beside this file take the two pipelines; for another n or reach change their first steps.
clip_scales = [
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
]

clip_pipeline = [
    dict(type='KeyRefFrameSample', frame_range=20, num_frames=10),
    dict(
        type='TransformBroadcaster',
        transforms=[
            dict(type='LoadFrame'),
            dict(type='LoadTrackAnnotations', with_mask=True),
        ],
    ),
    # Half of the clips are cropped, all frames to one window.
    dict(
        type='RandomApply',
        prob=0.5,
        transforms=[
            dict(
                type='TransformBroadcaster',
                share_random_params=True,
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
    dict(
        type='TransformBroadcaster',
        share_random_params=True,
        transforms=[
            dict(type='RandomChoiceResize', resize_type='AlignedResize', scales=clip_scales),
            dict(type='RandomFlip', prob=0.5),
            dict(type='BoxesFromMasks'),
            dict(type='LostObjects'),
        ],
    ),
    dict(type='PackVISInputs'),
]

pseudo_clip_pipeline = [
    dict(type='PseudoPair', num_frames=10),
    dict(
        type='TransformBroadcaster',
        transforms=[
            dict(type='LoadFrame'),
            dict(type='LoadTrackAnnotations', with_mask=True),
        ],
    ),
    dict(
        type='RandomApply',
        prob=0.5,
        transforms=[
            dict(
                type='TransformBroadcaster',
                share_random_params=True,
                transforms=[
                    dict(
                        type='RandomChoiceResize',
                        resize_type='AlignedResize',
                        scales=[(1333, 400), (1333, 500), (1333, 600)],
                    )
                ],
            ),
            dict(type='MovingCrop', crop_type='absolute_range', crop_size=(384, 600)),
        ],
    ),
    dict(
        type='TransformBroadcaster',
        share_random_params=True,
        transforms=[
            dict(type='RandomChoiceResize', resize_type='AlignedResize', scales=clip_scales),
            dict(type='RandomFlip', prob=0.5),
        ],
    ),
    dict(type='MovingRotation', max_angle=15.0),
    dict(
        type='TransformBroadcaster',
        transforms=[dict(type='BoxesFromMasks'), dict(type='LostObjects')],
    ),
    dict(type='PackVISInputs'),
]
