# Swin-L on YouTube-VIS 2019, 40 classes; the release's schedule, from a checkpoint of the stage
# before (`load_from`).
_base_ = [
    '../_base_/models/contrastive_vis_swin-l.py',
    '../_base_/datasets/ytvis19.py',
    '../_base_/schedules/ytvis_12k.py',
    '../_base_/default_runtime.py',
]
