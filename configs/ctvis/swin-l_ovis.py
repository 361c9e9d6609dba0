# CTVIS, Swin-L, on OVIS.
_base_ = [
    '../_base_/models/ctvis_swin-l.py',
    '../_base_/datasets/ovis.py',
    '../_base_/schedules/ctvis_16k_swin.py',
    '../_base_/default_runtime.py',
]

model = dict(detector=dict(panoptic_head=dict(num_classes=25)), test_cfg=dict(max_tracks=25))
