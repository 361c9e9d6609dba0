# `tools/test.py CONFIG CHECKPOINT --tta`: each video is tracked at every size on its own, and the
# tracks are merged by class and IoU over all frames. These sizes are the report's; data of another
# test size names its own: tta = dict(scales=[...]).
tta = dict(
    scales=[(1333, 480), (1333, 640), (1333, 800)],  # as `scale` of the test pipeline's resize
    flip=False,  # True: each size mirrored as well
    merge_cfg=dict(),  # method, iou_thr, score, weights of the runs: see merge_tracks
)
