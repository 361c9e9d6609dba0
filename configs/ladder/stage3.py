# The ladder of docs/benchmarks.md: stage 3 alone, the whole budget of 1,200 iterations of 4 pairs.
#   VIS_DATA=path/to/paste/ python tools/train.py configs/ladder/stage3.py
_base_ = '../vis_cl/small_paste.py'

max_iters = 1200
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_iters, T_max=max_iters - 50)
