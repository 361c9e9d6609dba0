# CTVIS, Swin-L, on OVIS.
_base_ = [
    '../_base_/models/ctvis_swin-l.py',
    '../_base_/datasets/ctvis_ovis.py',
    '../_base_/schedules/ctvis_16k_swin.py',
    '../_base_/default_runtime.py',
]

model = dict(detector=dict(panoptic_head=dict(num_classes=25)), test_cfg=dict(max_tracks=25))

# Clips of 6 frames, at most 10 from the one that is drawn first.
train_dataloader = _base_.train_dataloader
train_dataloader.dataset.datasets[0].pipeline[0].update(frame_range=10, num_frames=6)
train_dataloader.dataset.datasets[1].pipeline[0].num_frames = 6
