# Fine-tuning on OVIS, as ytvis_12k.py but with batches of 16 pairs (8 GPUs x 2).
_base_ = './ytvis_12k.py'

auto_scale_lr = dict(base_batch_size=16)
