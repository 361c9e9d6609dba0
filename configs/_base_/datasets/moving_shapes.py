# Moving shapes, made by tools/dataset_converters/make_moving_shapes.py (160x96 pixels by default).
# The same tree serves data of your own:
#   data/moving_shapes/train.json  valid.json  JPEGImages/VIDEO/00000.jpg
# For another frame size change the scales, (largest long side, short side), as
# configs/vis_cl/small_paste.py does.
_base_ = './videos.py'

data_root = 'data/moving_shapes/'
classes = ('disk', 'triangle', 'star')
image_prefix = dict(img_path='JPEGImages')
scales = [(224, 80), (224, 88), (224, 96), (224, 104), (224, 112)]
test_scale = (224, 112)  # the largest that it was trained on
tta = dict(scales=[(224, 96), (224, 104), (224, 112)])

train_pipeline = _base_.train_pipeline
train_pipeline[2].transforms[0].transforms[0].update(
    crop_type='relative_range', crop_size=(0.7, 0.7)
)
train_pipeline[3].transforms[0].scales = scales
test_pipeline = _base_.test_pipeline
test_pipeline[0].transforms[1].scale = test_scale

train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file='train.json',
        data_prefix=image_prefix,
        classes=classes,
        pipeline=train_pipeline,
    )
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file='valid.json',
        data_prefix=image_prefix,
        classes=classes,
        pipeline=test_pipeline,
    )
)
test_dataloader = val_dataloader

val_evaluator = dict(ann_file=data_root + 'valid.json')
test_evaluator = val_evaluator
