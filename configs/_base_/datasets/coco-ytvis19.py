# YouTube-VIS 2019 together with pseudo pairs of COCO, of the classes that both have
# (mmvis_cl/datasets/coco_classes.py).
_base_ = ['./ytvis19.py', './coco_pair_set.py']

# As many pairs of videos as of images. The report does not mix; the ratio is ours.
train_dataloader = dict(
    sampler=dict(type='RatioSampler', ratio=[1, 1]),
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            _base_.train_dataloader.dataset,
            dict(_base_.coco_pair_set, classes='2019', class_map='coco'),
        ],
    ),
)
