# Stage 1, ResNet-101: instance segmentation on COCO.
_base_ = './r50_coco.py'

model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='torchvision://resnet101')))
