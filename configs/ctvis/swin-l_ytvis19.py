# CTVIS, Swin-L, on YouTube-VIS 2019.
_base_ = [
    '../_base_/models/ctvis_swin-l.py',
    '../_base_/datasets/ctvis_ytvis19.py',
    '../_base_/schedules/ctvis_16k_swin.py',
    '../_base_/default_runtime.py',
]

# Clips of 8 frames, at most 16 from the one that is drawn first.
train_dataloader = _base_.train_dataloader
train_dataloader.dataset.datasets[0].pipeline[0].update(frame_range=16, num_frames=8)
train_dataloader.dataset.datasets[1].pipeline[0].num_frames = 8
