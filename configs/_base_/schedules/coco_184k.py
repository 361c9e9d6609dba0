# Instance segmentation on COCO: 50 epochs of batches of 32 images (8 GPUs x 4), the rate divided by
# ten after 40. The report says only "as Deformable DETR", whose epochs, batch and rate these are.
_base_ = './ytvis_12k.py'

max_iters = 184000
train_cfg = dict(max_iters=max_iters, val_begin=1, val_interval=18400)

optim_wrapper = dict(optimizer=dict(lr=2e-4))
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_iters, milestones=[147000])
