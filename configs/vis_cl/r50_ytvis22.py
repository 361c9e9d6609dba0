# ResNet-50 on YouTube-VIS 2022 (stage 3 of the report), 40 classes.
_base_ = [
    '../_base_/models/contrastive_vis_r50.py',
    '../_base_/datasets/ytvis22.py',
    '../_base_/schedules/ytvis22_12k.py',
    '../_base_/default_runtime.py',
]

# The stage before, r50_coco-pseudo.py. Any other: --cfg-options load_from=CHECKPOINT
load_from = 'work_dirs/r50_coco-pseudo/iter_59200.pth'
