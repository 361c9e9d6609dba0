# Pseudo pairs of COCO with ResNets, the release's: 59,200 iterations of 32 pairs (8 GPUs x 4).
_base_ = './ytvis_12k.py'

max_iters = 59200
train_cfg = dict(max_iters=max_iters)
val_cfg = None  # no videos
test_cfg = None

optim_wrapper = dict(optimizer=dict(lr=2e-4))
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_iters, milestones=[22200, 44400])
