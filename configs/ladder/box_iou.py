# The ladder: no contrastive term; association by the IoU of boxes alone.
_base_ = './stage3.py'

model = dict(
    embed_head=dict(loss_embed=dict(loss_weight=0.0), loss_embed_aux=dict(loss_weight=0.0)),
    tracker=dict(_delete_=True, type='BoxIoUTracker'),
)
