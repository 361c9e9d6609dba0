# CTVIS's data for OVIS: a batch of clips of its videos, or of COCO's images.
_base_ = ['./ovis.py', './coco_pair_set.py', './clips.py']

# Frames are as large as YouTube-VIS's, and reach less far.
clip_pipeline = _base_.clip_pipeline
clip_pipeline[0].frame_range = 15
test_pipeline = _base_.test_pipeline
test_pipeline[0].transforms[1].scale = (1333, 480)
tta = dict(scales=[(1333, 416), (1333, 480), (1333, 544)])

train_dataloader = dict(
    batch_size=2,
    sampler=dict(type='RatioSampler', ratio=[0.75, 1], per_batch=2),
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            dict(_base_.train_dataloader.dataset, pipeline=clip_pipeline),
            dict(
                _base_.coco_pair_set,
                classes='ovis',
                class_map='ctvis',
                pipeline=_base_.pseudo_clip_pipeline,
            ),
        ],
    ),
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
