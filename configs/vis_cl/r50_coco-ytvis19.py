# ResNet-50 on YouTube-VIS 2019 and pseudo pairs of COCO, half and half, in place of stage 3.
_base_ = [
    '../_base_/models/contrastive_vis_r50.py',
    '../_base_/datasets/coco-ytvis19.py',
    '../_base_/schedules/coco_ytvis_24k.py',
    '../_base_/default_runtime.py',
]
