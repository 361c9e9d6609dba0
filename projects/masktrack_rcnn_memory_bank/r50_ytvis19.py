# mmdet's MaskTrack R-CNN, unchanged but for its tracker.
_base_ = 'mmdet::masktrack_rcnn/masktrack-rcnn_mask-rcnn_r50_fpn_8xb1-12e_youtubevis2019.py'

model = dict(
    tracker=dict(
        _delete_=True,
        type='mmvis_cl.RoITracker',
        tracker=dict(type='mmvis_cl.MemoryBankTracker', memory_len=3),
        cosine_scale=100.0,
    )
)
