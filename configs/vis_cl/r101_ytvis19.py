# ResNet-101 on YouTube-VIS 2019.
_base_ = './r50_ytvis19.py'

model = dict(
    detector=dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='torchvision://resnet101')))
)
