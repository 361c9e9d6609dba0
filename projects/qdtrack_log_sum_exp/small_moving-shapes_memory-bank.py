# The same QDTrack, tracked by the memory bank.
_base_ = './small_moving-shapes.py'

model = dict(
    tracker=dict(
        _delete_=True,
        type='mmvis_cl.RoITracker',
        tracker=dict(type='mmvis_cl.MemoryBankTracker', memory_len=3, new_thr=0.7, first_thr=0.7),
    )
)
