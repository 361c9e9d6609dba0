# mmdet's MaskTrack R-CNN with its own tracker, small, on moving shapes: to compare with.
_base_ = [
    'mmdet::masktrack_rcnn/masktrack-rcnn_mask-rcnn_r50_fpn_8xb1-12e_youtubevis2019.py',
    '../_base_/moving_shapes.py',
]

model = dict(
    detector=dict(
        init_cfg=None,
        backbone=dict(
            depth=18,
            base_channels=32,
            stem_channels=32,
            frozen_stages=-1,
            norm_eval=False,
            init_cfg=None,
        ),
        neck=dict(in_channels=[32, 64, 128, 256], out_channels=64),
        rpn_head=dict(in_channels=64, feat_channels=64, anchor_generator=dict(scales=[6])),
        roi_head=dict(
            bbox_roi_extractor=dict(out_channels=64),
            bbox_head=dict(in_channels=64, fc_out_channels=256, num_classes=3),
            mask_roi_extractor=dict(out_channels=64),
            mask_head=dict(num_convs=2, in_channels=64, conv_out_channels=64, num_classes=3),
        ),
    ),
    track_head=dict(
        roi_extractor=dict(out_channels=64),
        embed_head=dict(in_channels=64, fc_out_channels=256),
    ),
)

train_dataloader = dict(_delete_=True, **_base_.shapes_train_dataloader)
val_dataloader = dict(_delete_=True, **_base_.shapes_test_dataloader)
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, **_base_.shapes_evaluator)
test_evaluator = val_evaluator

train_cfg = dict(_delete_=True, **_base_.shapes_train_cfg)
optim_wrapper = dict(
    _delete_=True,
    **_base_.shapes_optim_wrapper,
    # its products start large: at the full rate its ReLUs are dead after some hundred iterations
    paramwise_cfg=dict(custom_keys=dict(track_head=dict(lr_mult=0.1))),
)
param_scheduler = _base_.shapes_param_scheduler
default_hooks = _base_.shapes_default_hooks
log_processor = _base_.shapes_log_processor
randomness = dict(seed=0)
