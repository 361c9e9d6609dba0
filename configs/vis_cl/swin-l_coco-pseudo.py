# Stage 2, Swin-L: pseudo pairs of COCO, 80 classes; starts from the last checkpoint of stage 1.
_base_ = [
    '../_base_/models/contrastive_vis_swin-l.py',
    '../_base_/datasets/coco_pairs.py',
    '../_base_/schedules/coco_pairs_148k.py',
    '../_base_/default_runtime.py',
]

model = dict(
    detector=dict(
        bbox_head=dict(num_classes=80),
        init_cfg=dict(type='Pretrained', checkpoint='work_dirs/swin-l_coco/iter_368000.pth'),
    )
)

train_dataloader = dict(batch_size=2)
