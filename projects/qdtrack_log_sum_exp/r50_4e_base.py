# mmdet's QDTrack with the log-sum-exp form of its loss; data sets as in mmdet's own leaf configs.
_base_ = 'mmdet::qdtrack/qdtrack_faster-rcnn_r50_fpn_4e_base.py'

model = dict(
    track_head=dict(
        embed_head=dict(
            loss_track=dict(
                _delete_=True, type='mmvis_cl.QuasiDenseLogSumExpLoss', loss_weight=0.25
            )
        )
    )
)
