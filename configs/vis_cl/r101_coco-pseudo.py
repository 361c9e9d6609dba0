# Stage 2, ResNet-101: pseudo pairs of COCO; starts from the last checkpoint of stage 1.
_base_ = './r50_coco-pseudo.py'

model = dict(
    detector=dict(
        backbone=dict(depth=101, init_cfg=dict(checkpoint='torchvision://resnet101')),
        init_cfg=dict(checkpoint='work_dirs/r101_coco/iter_184000.pth'),
    )
)
