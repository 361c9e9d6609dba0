# A small CTVIS for CPUs, trained from scratch on clips of made-up videos.
_base_ = [
    '../_base_/models/ctvis_r50.py',
    '../_base_/datasets/moving_shapes.py',
    '../_base_/schedules/small_2k.py',
    '../_base_/default_runtime.py',
]

# Clips of 4 frames through the steps of the pairs, all frames alike.
train_pipeline = _base_.train_pipeline
train_pipeline[0].update(frame_range=8, num_frames=4)
train_pipeline[2].transforms[0].share_random_params = True
train_pipeline[3].transforms.append(dict(type='LostObjects'))
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=train_pipeline))

model = dict(
    detector=dict(
        backbone=dict(
            _delete_=True,
            type='ResNet',
            depth=18,
            base_channels=32,
            stem_channels=32,
            out_indices=(0, 1, 2, 3),
            norm_cfg=dict(type='BN'),
            norm_eval=False,
        ),
        panoptic_head=dict(
            num_classes=3,
            in_channels=[32, 64, 128, 256],
            embed_dims=64,
            encoder_ffn_dims=128,
            decoder_ffn_dims=128,
            num_encoder_layers=1,
            num_decoder_layers=3,
            num_queries=30,
            norm_groups=8,
        ),
        train_cfg=dict(num_points=1024),
        # a weak network: its weak detections only steal identities
        test_cfg=dict(score_thr=0.2),
    ),
    embed_head=dict(loss_embed=dict(loss_weight=0.5), loss_embed_aux=dict(loss_weight=0.75)),
    tracker=dict(new_thr=0.2, first_thr=0.2),
    test_cfg=dict(max_tracks=10),
)
default_hooks = dict(checkpoint=dict(interval=500, max_keep_ckpts=1))
