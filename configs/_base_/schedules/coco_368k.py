# As coco_184k.py for large backbones: batches of 16 images (8 GPUs x 2), twice the iterations, the
# same rate, as the release trains Swin-L on pairs.
_base_ = './coco_184k.py'

max_iters = 368000
train_cfg = dict(max_iters=max_iters, val_interval=36800)

param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_iters, milestones=[294000])
auto_scale_lr = dict(base_batch_size=16)
