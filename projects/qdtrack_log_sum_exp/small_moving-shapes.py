# A small QDTrack with the log-sum-exp loss. It learns boxes without classes and no masks.
_base_ = [
    'mmdet::qdtrack/qdtrack_faster-rcnn_r50_fpn_4e_base.py',
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
            norm_cfg=dict(requires_grad=True),
            norm_eval=False,
            init_cfg=None,
        ),
        neck=dict(in_channels=[32, 64, 128, 256], out_channels=64),
        rpn_head=dict(in_channels=64, feat_channels=64, anchor_generator=dict(scales=[6])),
        roi_head=dict(
            bbox_roi_extractor=dict(out_channels=64),
            bbox_head=dict(in_channels=64, fc_out_channels=256),
        ),
        train_cfg=dict(
            rpn_proposal=dict(nms_pre=200, max_per_img=200), rcnn=dict(sampler=dict(num=128))
        ),
        test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=200)),
    ),
    track_head=dict(
        roi_extractor=dict(out_channels=64),
        embed_head=dict(
            in_channels=64,
            num_convs=2,
            conv_out_channels=64,
            fc_out_channels=256,
            embed_channels=64,
            norm_cfg=dict(num_groups=8),
            loss_track=dict(
                _delete_=True, type='mmvis_cl.QuasiDenseLogSumExpLoss', loss_weight=0.25
            ),
        ),
        train_cfg=dict(sampler=dict(num=64)),
    ),
    tracker=dict(init_score_thr=0.7),
)

train_dataloader = _base_.shapes_train_dataloader
val_dataloader = _base_.shapes_test_dataloader
test_dataloader = val_dataloader
val_evaluator = dict(
    type='mmvis_cl.BoxTrackMetric',
    any_class=True,
    ann_file=_base_.shapes_root + 'valid.json',
)
test_evaluator = val_evaluator

train_cfg = dict(_delete_=True, **_base_.shapes_train_cfg)
optim_wrapper = dict(_delete_=True, **_base_.shapes_optim_wrapper)
param_scheduler = _base_.shapes_param_scheduler
default_hooks = _base_.shapes_default_hooks
log_processor = _base_.shapes_log_processor
randomness = dict(seed=0)
