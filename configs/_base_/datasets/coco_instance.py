# COCO 2017, instance segmentation of single images. Expected tree, as it comes:
#   data/coco/annotations/instances_train2017.json  train2017/000000000009.jpg
#   data/coco/annotations/instances_val2017.json  val2017/000000000139.jpg
_base_ = ['./coco_augmentation.py', './train_loader.py']

dataset_type = 'COCOImages'
data_root = 'data/coco/'

train_pipeline = [
    dict(type='LoadFrame'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    *_base_.coco_augmentation,
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadFrame'),
    dict(type='AlignedResize', scale=(1333, 800)),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]

train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017'),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(
    type='CocoMetric',
    ann_file=data_root + 'annotations/instances_val2017.json',
    metric=['bbox', 'segm'],
)
test_evaluator = val_evaluator
