# Stage 2, ResNet-50: pseudo pairs of COCO, 80 classes; starts from the last checkpoint of stage 1.
_base_ = [
    '../_base_/models/contrastive_vis_r50.py',
    '../_base_/datasets/coco_pairs.py',
    '../_base_/schedules/coco_pairs_59k.py',
    '../_base_/default_runtime.py',
]

model = dict(
    detector=dict(
        bbox_head=dict(num_classes=80),
        init_cfg=dict(type='Pretrained', checkpoint='work_dirs/r50_coco/iter_184000.pth'),
    )
)
