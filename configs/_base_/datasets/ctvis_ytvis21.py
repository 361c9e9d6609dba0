# CTVIS's data for YouTube-VIS 2021: a batch of clips of its videos, or of COCO's images.
_base_ = ['./ytvis21.py', './coco_pair_set.py', './clips.py']

train_dataloader = dict(
    batch_size=2,
    sampler=dict(type='RatioSampler', ratio=[0.8, 1], per_batch=2),
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            dict(_base_.train_dataloader.dataset, pipeline=_base_.clip_pipeline),
            dict(
                _base_.coco_pair_set,
                classes='2021',
                class_map='ctvis',
                pipeline=_base_.pseudo_clip_pipeline,
            ),
        ],
    ),
)
