# YouTube-VIS 2019. Expected tree:
#   data/youtube_vis_2019/train.json  train/JPEGImages/VIDEO/00000.jpg
#   data/youtube_vis_2019/valid.json  valid/JPEGImages/VIDEO/00000.jpg
#   data/youtube_vis_2019/test.json   test/JPEGImages/VIDEO/00000.jpg
# tools/dataset_converters/check_vis.py data/youtube_vis_2019 says what is missing or broken.
_base_ = './videos.py'

data_root = 'data/youtube_vis_2019/'
classes = '2019'

train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file='train.json',
        data_prefix=dict(img_path='train/JPEGImages'),
        classes=classes,
    )
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file='valid.json',
        data_prefix=dict(img_path='valid/JPEGImages'),
        classes=classes,
    )
)
# The test split instead (tools/test.py, in one line):
#   --cfg-options test_dataloader.dataset.ann_file=test.json
#   test_dataloader.dataset.data_prefix.img_path=test/JPEGImages
#   test_evaluator.ann_file=data/youtube_vis_2019/test.json
test_dataloader = val_dataloader

# The official validation set has no public annotations: results are written for the evaluation
# server. For a split of your own set ann_file and img_path of val_dataloader.dataset, ann_file here
# to the same file, and format_only=False.
val_evaluator = dict(
    ann_file=data_root + 'valid.json', format_only=True, outfile_prefix='work_dirs/ytvis19_valid'
)
test_evaluator = val_evaluator
