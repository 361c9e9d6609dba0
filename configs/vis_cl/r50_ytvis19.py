# ResNet-50 on YouTube-VIS 2019, 40 classes; the release's schedule, from a checkpoint of the stage
# before (`load_from`): training from ImageNet weights alone falls short of the published figures.
_base_ = [
    '../_base_/models/contrastive_vis_r50.py',
    '../_base_/datasets/ytvis19.py',
    '../_base_/schedules/ytvis_12k.py',
    '../_base_/default_runtime.py',
]
