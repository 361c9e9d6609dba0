# YouTube-VIS 2021 together with pseudo pairs of COCO, as coco-ytvis19.py.
_base_ = ['./ytvis21.py', './coco_pair_set.py']

train_dataloader = dict(
    sampler=dict(type='RatioSampler', ratio=[1, 1]),
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            _base_.train_dataloader.dataset,
            dict(_base_.coco_pair_set, classes='2021', class_map='coco'),
        ],
    ),
)
