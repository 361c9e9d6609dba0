# Pseudo pairs of COCO 2017, 80 classes. There are no videos to validate on.
_base_ = './coco_pair_set.py'

# With num_workers=0 persistent_workers must be False. The sampler takes randomness.seed.
train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='SeededInfiniteSampler', shuffle=True),
    dataset=_base_.coco_pair_set,
)
