# CTVIS, ResNet-50, on YouTube-VIS 2021.
_base_ = [
    '../_base_/models/ctvis_r50.py',
    '../_base_/datasets/ytvis21.py',
    '../_base_/schedules/ctvis_16k.py',
    '../_base_/default_runtime.py',
]
