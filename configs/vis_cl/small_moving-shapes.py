# A small network for CPUs, trained from scratch in minutes; what `make demo` runs.
_base_ = [
    '../_base_/models/contrastive_vis_r50.py',
    '../_base_/datasets/moving_shapes.py',
    '../_base_/schedules/small_2k.py',
    '../_base_/default_runtime.py',
]

model = dict(
    # Short training from scratch: each frame of a pair is the key frame once, few queries compete,
    # and the classes, which are learned last, count more.
    both_ways=True,
    detector=dict(
        embed_dims=96,
        ffn_dims=256,
        num_encoder_layers=1,
        num_decoder_layers=2,
        num_queries=40,
        dropout=0.0,
        backbone=dict(
            _delete_=True,
            type='ResNet',
            depth=18,
            base_channels=32,
            stem_channels=32,
            out_indices=(1, 2, 3),
            norm_cfg=dict(type='BN'),
            norm_eval=False,
        ),
        neck=dict(in_channels=[64, 128, 256], num_outs=3),
        bbox_head=dict(num_classes=3, loss_cls=dict(loss_weight=4.0)),
        # a weaker network than the release's: its weak detections only steal identities
        test_cfg=dict(score_thr=0.2),
    ),
    embed_head=dict(
        selector=dict(negative_topk=25),
        loss_embed=dict(loss_weight=0.5),
        loss_embed_aux=dict(loss_weight=0.75),
    ),
)

default_hooks = dict(checkpoint=dict(interval=500, max_keep_ckpts=1))
