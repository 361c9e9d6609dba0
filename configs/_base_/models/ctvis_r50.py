# CTVIS on ResNet-50: Mask2Former, frame by frame, and embeddings of its queries. Leaf configs
# override what they change, e.g. model = dict(detector=dict(panoptic_head=dict(num_classes=8))).
model = dict(
    type='ContrastiveVIS',
    data_preprocessor=dict(
        type='VISDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
        pad_mask=True,
    ),
    detector=dict(
        type='QueryMaskFormer',
        backbone=dict(
            type='ResNet',
            depth=50,
            num_stages=4,
            out_indices=(0, 1, 2, 3),
            frozen_stages=-1,
            norm_cfg=dict(type='BN', requires_grad=False),
            norm_eval=True,
            style='pytorch',
            init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50'),
        ),
        panoptic_head=dict(
            type='MaskQueryHead',
            num_classes=40,
            in_channels=[256, 512, 1024, 2048],
            embed_dims=256,
            encoder_ffn_dims=1024,
            decoder_ffn_dims=2048,
            num_encoder_layers=6,
            num_decoder_layers=9,
            num_queries=100,
            loss_cls=dict(type='CrossEntropyLoss', loss_weight=2.0),
            loss_mask=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=5.0),
            loss_dice=dict(type='DiceLoss', naive_dice=True, eps=1.0, loss_weight=5.0),
        ),
        train_cfg=dict(
            num_points=12544,
            oversample_ratio=3.0,
            importance_sample_ratio=0.75,
            assigner=dict(
                type='HungarianAssigner',
                match_costs=[
                    dict(type='ClassificationCost', weight=2.0),
                    dict(type='CrossEntropyLossCost', weight=5.0, use_sigmoid=True),
                    dict(type='DiceCost', weight=5.0, pred_act=True, eps=1.0),
                ],
            ),
            sampler=dict(type='MaskPseudoSampler'),
        ),
        test_cfg=dict(score_thr=0.01),
    ),
    embed_head=dict(
        type='ContrastiveHead',
        loss_embed=dict(type='LogSumExpContrastiveLoss', loss_weight=2.0),
        loss_embed_aux=dict(type='AuxiliaryCosineLoss', loss_weight=3.0),
    ),
    # As the release, for all data sets.
    tracker=dict(
        type='MemoryBankTracker',
        memory='guided',
        memory_len=10,
        match_thr=0.3,
        similar_thr=0.3,
        new_thr=0.01,
        first_thr=0.01,
        max_unseen=21,
        frame_weight=True,
    ),
    test_cfg=dict(
        mask_nms_thr=0.6,
        greedy_nms=True,
        score_mean='logits',
        max_tracks=40,  # as many as there are classes
        result_score_thr=-1.0,  # none; masks without a pixel make a score of 0
        smooth_masks=True,
        mask_quality=True,
        noise_from_frame=9,
        noise_min_frames=3,
        frames_per_pass=5,
    ),
)
