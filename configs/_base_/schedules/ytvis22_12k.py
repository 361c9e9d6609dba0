# Fine-tuning on YouTube-VIS 2022 as in the report: 12,000 steps of 32 pairs (there 8 GPUs x 4).
_base_ = './ytvis_12k.py'

# On fewer GPUs, or with a smaller train_dataloader.batch_size, gradients are accumulated over as
# many batches as make 32 pairs; iterations are steps. So neither auto_scale_lr nor
# optim_wrapper.accumulative_counts is needed, and both are refused. The rate stays as it is.
train_cfg = dict(type='AccumulatingTrainLoop', total_batch_size=32)

optim_wrapper = dict(optimizer=dict(lr=2e-4))
param_scheduler = _base_.param_scheduler
param_scheduler[1].milestones = [6000]
