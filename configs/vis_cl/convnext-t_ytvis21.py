# ConvNeXt-T on YouTube-VIS 2021, 40 classes.
_base_ = [
    '../_base_/models/contrastive_vis_convnext-t.py',
    '../_base_/datasets/ytvis21.py',
    '../_base_/schedules/ytvis_12k.py',
    '../_base_/default_runtime.py',
]
