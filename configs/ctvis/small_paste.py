# The small CTVIS on real objects, see configs/vis_cl/small_paste.py:
#   VIS_DATA=path/to/data/ python tools/train.py configs/ctvis/small_paste.py
_base_ = ['./small_moving-shapes.py']

data_root = '{{$VIS_DATA:data/paste/}}'
train_pipeline = _base_.train_pipeline
train_pipeline[3].transforms[0].scales = [(288, 112), (288, 128), (288, 144), (288, 160)]
test_pipeline = _base_.test_pipeline
test_pipeline[0].transforms[1].scale = (288, 144)
tta = dict(scales=[(288, 128), (288, 144), (288, 160)])

# classes=None: those of the file
train_dataloader = dict(dataset=dict(data_root=data_root, classes=None, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root=data_root, classes=None, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'valid.json')
test_evaluator = val_evaluator

model = dict(detector=dict(panoptic_head=dict(num_classes=8)))

max_iters = 1500
train_cfg = dict(max_iters=max_iters, val_interval=750)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_iters, T_max=max_iters - 50)
