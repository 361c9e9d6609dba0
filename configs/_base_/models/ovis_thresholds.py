# The release's thresholds for OVIS, from its file for ResNet-50: masks may overlap less, a new
# identity needs a higher score. Beside a base with the network: model = _base_.ovis_thresholds
ovis_thresholds = dict(
    detector=dict(bbox_head=dict(num_classes=25), test_cfg=dict(score_thr=0.1)),
    tracker=dict(new_thr=0.3),
    test_cfg=dict(mask_nms_thr=0.3),
)
