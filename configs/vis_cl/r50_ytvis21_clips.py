# The report's network, ResNet-50, on YouTube-VIS 2021 with CTVIS's training: clips in place of
# pairs, and a memory bank that works in training as it does in testing. 5 frames a clip: as many
# are learned in an iteration of 16 clips as in one of 40 pairs.
_base_ = [
    './r50_ytvis21.py',
    '../_base_/models/clip_training.py',
    '../_base_/datasets/clips.py',
]

model = _base_.clip_training
clip_pipeline = _base_.clip_pipeline
clip_pipeline[0].update(frame_range=10, num_frames=5)
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=clip_pipeline))
