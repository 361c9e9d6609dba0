# Stage 1, ResNet-50: instance segmentation on COCO, 80 classes; the network without embeddings.
_base_ = [
    '../_base_/models/mask_detr_r50.py',
    '../_base_/datasets/coco_instance.py',
    '../_base_/schedules/coco_184k.py',
    '../_base_/default_runtime.py',
]

# The release's IoU of the box NMS for single images.
model = dict(bbox_head=dict(num_classes=80), test_cfg=dict(nms_iou_thr=0.7))
