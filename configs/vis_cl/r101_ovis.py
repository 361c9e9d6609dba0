# ResNet-101 on OVIS. The authors published no checkpoint of it.
_base_ = './r50_ovis.py'

model = dict(
    detector=dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='torchvision://resnet101')))
)
