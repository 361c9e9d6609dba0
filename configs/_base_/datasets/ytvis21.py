# YouTube-VIS 2021 (and the training set of 2022). Expected tree:
#   data/youtube_vis_2021/train/instances.json  train/JPEGImages/VIDEO/00000.jpg
#   data/youtube_vis_2021/valid/instances.json  valid/JPEGImages/VIDEO/00000.jpg
#   data/youtube_vis_2021/test/instances.json   test/JPEGImages/VIDEO/00000.jpg
_base_ = './ytvis19.py'

data_root = 'data/youtube_vis_2021/'
classes = '2021'

train_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file='train/instances.json', classes=classes)
)
val_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file='valid/instances.json', classes=classes)
)
# The test split instead (tools/test.py, in one line):
#   --cfg-options test_dataloader.dataset.ann_file=test/instances.json
#   test_dataloader.dataset.data_prefix.img_path=test/JPEGImages
#   test_evaluator.ann_file=data/youtube_vis_2021/test/instances.json
test_dataloader = val_dataloader

val_evaluator = dict(
    ann_file=data_root + 'valid/instances.json', outfile_prefix='work_dirs/ytvis21_valid'
)
test_evaluator = val_evaluator
