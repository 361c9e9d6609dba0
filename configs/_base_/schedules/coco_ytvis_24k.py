# Videos and pseudo pairs of COCO, half and half: twice as long as ytvis_12k.py, so that the videos
# come as often as without the images.
_base_ = './ytvis_12k.py'

max_iters = 24000
train_cfg = dict(max_iters=max_iters, val_begin=max_iters + 1, val_interval=max_iters)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_iters, milestones=[16000])
