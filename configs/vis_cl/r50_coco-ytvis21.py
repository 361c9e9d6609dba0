# ResNet-50 on YouTube-VIS 2021 and pseudo pairs of COCO, half and half, in place of stage 3.
_base_ = [
    '../_base_/models/contrastive_vis_r50.py',
    '../_base_/datasets/coco-ytvis21.py',
    '../_base_/schedules/ytvis_12k.py',
    '../_base_/default_runtime.py',
]

# Twice as long, so that the videos come as often as without the images.
max_iters = 24000
train_cfg = dict(max_iters=max_iters, val_begin=max_iters + 1, val_interval=max_iters)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_iters, milestones=[16000])
