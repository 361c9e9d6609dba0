# YouTube-VIS 2022: 2021's training set and classes; for validation 2021's 421 videos and 71 long
# ones. Expected trees (for others set data_root and ann_file; paths are relative to data_root):
#   data/youtube_vis_2021/train/instances.json  train/JPEGImages/VIDEO/00000.jpg
#   data/youtube_vis_2022/valid/instances.json  valid/JPEGImages/VIDEO/00000.jpg
#   data/youtube_vis_2022/test/instances.json   test/JPEGImages/VIDEO/00000.jpg
_base_ = './ytvis21.py'

data_root = 'data/youtube_vis_2022/'
classes = '2022'

train_dataloader = dict(dataset=dict(classes=classes))
val_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file='valid/instances.json', classes=classes)
)
# The test split instead (tools/test.py, in one line):
#   --cfg-options test_dataloader.dataset.ann_file=test/instances.json
#   test_dataloader.dataset.data_prefix.img_path=test/JPEGImages
#   test_evaluator.ann_file=data/youtube_vis_2022/test/instances.json
test_dataloader = val_dataloader

# The score of 2022 is the mean of the AP of the short and of the long videos (AP_mean). With
# annotations (the challenge's are called gt.json and gt_long.json) it is computed here:
#   --cfg-options test_evaluator.format_only=False test_evaluator.ann_file=gt.json
#   test_evaluator.long_videos=gt_long.json
# or from a result file: tools/analysis_tools/eval_vis.py --long-videos gt_long.json
val_evaluator = dict(
    ann_file=data_root + 'valid/instances.json', outfile_prefix='work_dirs/ytvis22_valid'
)
test_evaluator = val_evaluator
