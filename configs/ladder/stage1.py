# The ladder, stage 1: the image network on the frames of the training videos, 8 at a time.
#   python tools/dataset_converters/vis_to_coco.py path/to/paste/train.json IMAGES.json
#   VIS_DATA=path/to/paste/ VIS_IMAGES=IMAGES.json python tools/train.py configs/ladder/stage1.py
_base_ = './stage3.py'

model = dict(
    _delete_=True,
    data_preprocessor=dict(_base_.model.data_preprocessor, type='DetDataPreprocessor'),
    **_base_.model.detector,
)

augmentation = [
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='RandomApply',
        prob=0.5,
        transforms=[
            dict(
                type='RandomCrop',
                crop_type='relative_range',
                crop_size=(0.7, 0.7),
                allow_negative_crop=True,
            )
        ],
    ),
    _base_.train_pipeline[3].transforms[0],  # one of the sizes of stage 3
    dict(type='BoxesFromMasks'),
]
train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        _delete_=True,
        type='COCOImages',
        ann_file='{{$VIS_IMAGES:data/paste_images.json}}',
        data_prefix=dict(img='{{$VIS_DATA:data/paste/}}JPEGImages'),
        classes=None,
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=[
            dict(type='LoadFrame'),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            *augmentation,
            dict(type='PackDetInputs'),
        ],
    ),
)
val_cfg = val_dataloader = val_evaluator = None
test_cfg = test_dataloader = test_evaluator = None

max_iters = 300
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_iters, T_max=max_iters - 50)
