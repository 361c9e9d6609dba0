# Swin-L on OVIS, 25 classes; the release's schedule, with batches of 16.
_base_ = [
    '../_base_/models/contrastive_vis_swin-l.py',
    '../_base_/datasets/ovis.py',
    '../_base_/schedules/ytvis_12k.py',
    '../_base_/default_runtime.py',
]

# The release's thresholds for OVIS, from its file for ResNet-50; that for Swin-L leaves the last
# two at 0.2 and 0.5, as for YouTube-VIS.
model = dict(
    detector=dict(bbox_head=dict(num_classes=25), test_cfg=dict(score_thr=0.1)),
    tracker=dict(new_thr=0.3),
    test_cfg=dict(mask_nms_thr=0.3),
)
auto_scale_lr = dict(base_batch_size=16)
