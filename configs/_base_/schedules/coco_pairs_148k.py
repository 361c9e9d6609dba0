# Pseudo pairs of COCO with large backbones, the release's: 148,000 iterations of 16 pairs (8 GPUs x
# 2).
_base_ = './coco_pairs_59k.py'

max_iters = 148000
train_cfg = dict(max_iters=max_iters)

param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_iters, milestones=[59200, 118400])
auto_scale_lr = dict(base_batch_size=16)
