# Stage 1, ConvNeXt-L: instance segmentation on COCO, 80 classes; the network without embeddings.
_base_ = [
    '../_base_/models/mask_detr_convnext-l.py',
    '../_base_/datasets/coco_instance.py',
    '../_base_/schedules/coco_368k.py',
    '../_base_/default_runtime.py',
]

# The release's IoU of the box NMS for single images.
model = dict(bbox_head=dict(num_classes=80), test_cfg=dict(nms_iou_thr=0.7))

train_dataloader = dict(batch_size=2)
