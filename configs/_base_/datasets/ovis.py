# OVIS: crowded scenes, up to 500 frames. Expected tree, as it comes:
#   data/ovis/annotations_train.json  train/VIDEO/img_0000001.jpg
#   data/ovis/annotations_valid.json  valid/VIDEO/img_0000001.jpg
#   data/ovis/annotations_test.json   test/VIDEO/img_0000001.jpg
_base_ = './ytvis19.py'

data_root = 'data/ovis/'
classes = 'ovis'

# As the release: larger frames than for YouTube-VIS.
train_pipeline = _base_.train_pipeline
train_pipeline[3].transforms[0].scales = [
    (1333, 480),
    (1333, 512),
    (1333, 544),
    (1333, 576),
    (1333, 608),
    (1333, 640),
    (1333, 672),
    (1333, 704),
    (1333, 736),
    (1333, 768),
    (1333, 800),
]
test_pipeline = _base_.test_pipeline
test_pipeline[0].transforms[1].scale = (1333, 720)
tta = dict(scales=[(1333, 640), (1333, 720), (1333, 800)])

# 8 GPUs x 2 pairs.
train_dataloader = dict(
    batch_size=2,
    dataset=dict(
        data_root=data_root,
        ann_file='annotations_train.json',
        data_prefix=dict(img_path='train'),
        classes=classes,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file='annotations_valid.json',
        data_prefix=dict(img_path='valid'),
        classes=classes,
        pipeline=test_pipeline,
    )
)
# The test split instead (tools/test.py, in one line):
#   --cfg-options test_dataloader.dataset.ann_file=annotations_test.json
#   test_dataloader.dataset.data_prefix.img_path=test
#   test_evaluator.ann_file=data/ovis/annotations_test.json
test_dataloader = val_dataloader

val_evaluator = dict(
    ann_file=data_root + 'annotations_valid.json', outfile_prefix='work_dirs/ovis_valid'
)
test_evaluator = val_evaluator
