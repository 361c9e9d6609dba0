# The small network with CTVIS's training, on clips of 4 frames.
_base_ = ['./small_moving-shapes.py', '../_base_/models/clip_training.py']

train_pipeline = _base_.train_pipeline
train_pipeline[0].update(frame_range=8, num_frames=4)
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=train_pipeline))

model = _base_.clip_training
model.embed_head.update(
    loss_embed=dict(type='LogSumExpContrastiveLoss', loss_weight=0.5),
    loss_embed_aux=dict(type='AuxiliaryCosineLoss', negatives_per_positive=None, loss_weight=0.75),
)
