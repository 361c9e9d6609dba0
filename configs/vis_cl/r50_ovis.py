# ResNet-50 on OVIS, 25 classes of crowded, long videos; the release's schedule, with batches of 16.
_base_ = [
    '../_base_/models/contrastive_vis_r50.py',
    '../_base_/datasets/ovis.py',
    '../_base_/schedules/ytvis_12k.py',
    '../_base_/default_runtime.py',
]

# The release's thresholds for OVIS: masks may overlap less, a new identity needs a higher score.
model = dict(
    detector=dict(bbox_head=dict(num_classes=25), test_cfg=dict(score_thr=0.1)),
    tracker=dict(new_thr=0.3),
    test_cfg=dict(mask_nms_thr=0.3),
)
auto_scale_lr = dict(base_batch_size=16)
