# ConvNeXt-L on YouTube-VIS 2022 (stage 3 of the report), 40 classes.
_base_ = [
    '../_base_/models/contrastive_vis_convnext-l.py',
    '../_base_/datasets/ytvis22.py',
    '../_base_/schedules/ytvis22_12k.py',
    '../_base_/default_runtime.py',
]

# The stage before, convnext-l_coco-pseudo.py. Any other: --cfg-options load_from=CHECKPOINT
load_from = 'work_dirs/convnext-l_coco-pseudo/iter_148000.pth'
