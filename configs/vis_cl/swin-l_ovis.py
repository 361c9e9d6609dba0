# Swin-L on OVIS, 25 classes; the release's schedule, with batches of 16.
_base_ = [
    '../_base_/models/contrastive_vis_swin-l.py',
    '../_base_/models/ovis_thresholds.py',
    '../_base_/datasets/ovis.py',
    '../_base_/schedules/ovis_12k.py',
    '../_base_/default_runtime.py',
]

# The release's file for Swin-L leaves the last two at 0.2 and 0.5, as for YouTube-VIS.
model = _base_.ovis_thresholds
