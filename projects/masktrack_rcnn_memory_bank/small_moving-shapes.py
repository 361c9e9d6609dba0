# The small MaskTrack R-CNN with the memory bank.
_base_ = './small_moving-shapes_own-tracker.py'

model = dict(
    tracker=dict(
        _delete_=True,
        type='mmvis_cl.RoITracker',
        tracker=dict(type='mmvis_cl.MemoryBankTracker', memory_len=3),
        cosine_scale=100.0,
    )
)
