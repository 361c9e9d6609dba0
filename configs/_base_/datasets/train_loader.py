# How training data are served, whatever they are: the data sets add `dataset`.

# With num_workers=0 persistent_workers must be False. The sampler takes randomness.seed.
train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='SeededInfiniteSampler', shuffle=True),
)
