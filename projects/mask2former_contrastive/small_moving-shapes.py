# mmdet's Mask2Former as the image network of the contrastive video model: online, image by image.
_base_ = [
    'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py',
    '../_base_/moving_shapes.py',
]

num_classes = 3
detector = _base_.model
detector.update(type='mmvis_cl.QueryMaskFormer', data_preprocessor=None)
detector.panoptic_head.update(num_things_classes=num_classes)
detector.panoptic_head.loss_cls.update(class_weight=[1.0] * num_classes + [0.1])
detector.panoptic_fusion_head.update(num_things_classes=num_classes)
detector.test_cfg.update(score_thr=0.2)

# From here to `model`: small, and no pretrained weights.
dims, ffn_dims = 64, 128
detector.backbone.update(
    depth=18, base_channels=32, stem_channels=32, norm_eval=False, init_cfg=None
)
detector.backbone.norm_cfg.update(requires_grad=True)
head = detector.panoptic_head
head.update(in_channels=[32, 64, 128, 256], feat_channels=dims, out_channels=dims, num_queries=30)
head.positional_encoding.update(num_feats=dims // 2)
head.pixel_decoder.norm_cfg.update(num_groups=8)
head.pixel_decoder.positional_encoding.update(num_feats=dims // 2)
head.pixel_decoder.encoder.update(num_layers=1)
head.pixel_decoder.encoder.layer_cfg.self_attn_cfg.update(embed_dims=dims)
head.pixel_decoder.encoder.layer_cfg.ffn_cfg.update(embed_dims=dims, feedforward_channels=ffn_dims)
head.transformer_decoder.update(num_layers=3)
head.transformer_decoder.layer_cfg.self_attn_cfg.update(embed_dims=dims)
head.transformer_decoder.layer_cfg.cross_attn_cfg.update(embed_dims=dims)
head.transformer_decoder.layer_cfg.ffn_cfg.update(embed_dims=dims, feedforward_channels=ffn_dims)
detector.train_cfg.update(num_points=1024)

model = dict(
    _delete_=True,
    type='mmvis_cl.ContrastiveVIS',
    data_preprocessor=dict(
        type='mmvis_cl.VISDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
        pad_mask=True,
    ),
    detector=detector,
    embed_head=dict(
        type='mmvis_cl.ContrastiveHead',
        selector=dict(type='mmvis_cl.ReferenceSelector', negative_topk=25),
        loss_embed=dict(type='mmvis_cl.LogSumExpContrastiveLoss', loss_weight=0.5),
        loss_embed_aux=dict(type='mmvis_cl.AuxiliaryCosineLoss', loss_weight=0.75),
    ),
    tracker=dict(type='mmvis_cl.MemoryBankTracker', memory_len=3),
    both_ways=True,
    test_cfg=dict(mask_nms_thr=0.5, result_score_thr=0.05, frames_per_pass=1),
)

train_dataloader = dict(_delete_=True, **_base_.shapes_train_dataloader)
val_dataloader = dict(_delete_=True, **_base_.shapes_test_dataloader)
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, **_base_.shapes_evaluator)
test_evaluator = val_evaluator

train_cfg = dict(_delete_=True, **_base_.shapes_train_cfg)
optim_wrapper = dict(_delete_=True, **_base_.shapes_optim_wrapper)
param_scheduler = _base_.shapes_param_scheduler
default_hooks = dict(
    **_base_.shapes_default_hooks, visualization=dict(type='TrackVisualizationHook', draw=False)
)
log_processor = _base_.shapes_log_processor
randomness = dict(seed=0)
del num_classes, dims, ffn_dims, head, detector
