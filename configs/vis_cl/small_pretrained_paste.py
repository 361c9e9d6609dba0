# The small network on a backbone that has seen ImageNet: in the same time of training, far better
# than from scratch. timm fetches the weights once; a file of them instead:
#   --cfg-options model.detector.backbone.pretrained=tf_efficientnet_lite0.pth
_base_ = './small_paste.py'

model = dict(
    # the backbone's own normalisation of pixels
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),
    detector=dict(
        backbone=dict(
            _delete_=True,
            type='TimmBackbone',
            model_name='tf_efficientnet_lite0',
            pretrained=True,
            out_indices=(2, 3, 4),
            strides=(8, 16, 32),
            freeze_batch_norm=True,
        ),
        neck=dict(in_channels=[40, 112, 320]),
    ),
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))))
