# ResNet-50 on OVIS, 25 classes of crowded, long videos; the release's schedule, with batches of 16.
_base_ = [
    '../_base_/models/contrastive_vis_r50.py',
    '../_base_/models/ovis_thresholds.py',
    '../_base_/datasets/ovis.py',
    '../_base_/schedules/ovis_12k.py',
    '../_base_/default_runtime.py',
]

model = _base_.ovis_thresholds
