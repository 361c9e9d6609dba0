# CTVIS, Swin-L, on YouTube-VIS 2019.
_base_ = [
    '../_base_/models/ctvis_swin-l.py',
    '../_base_/datasets/ytvis19.py',
    '../_base_/schedules/ctvis_16k_swin.py',
    '../_base_/default_runtime.py',
]
