# The ladder, stage 1: the image network on the frames of the training videos, 8 at a time.
#   python tools/dataset_converters/vis_to_coco.py path/to/paste/train.json IMAGES.json
#   VIS_DATA=path/to/paste/ VIS_IMAGES=IMAGES.json python tools/train.py configs/ladder/stage1.py
_base_ = './stage2.py'

model = dict(
    _delete_=True,
    data_preprocessor=dict(_base_.model.data_preprocessor, type='DetDataPreprocessor'),
    **_base_.model.detector,
)

augmentation = _base_.train_dataloader.dataset.pipeline[1].transforms[2:]  # as a frame of a pair
train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        pipeline=[
            dict(type='LoadFrame'),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            *augmentation,
            dict(type='PackDetInputs'),
        ],
    ),
)
test_cfg = test_dataloader = test_evaluator = None
