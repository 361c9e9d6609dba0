default_scope = 'mmvis_cl'

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='WholeCheckpointHook', by_epoch=False, interval=1000, max_keep_ckpts=3),
    sampler_seed=dict(type='DistSamplerSeedHook'),
)
custom_hooks = [
    # stops a run whose classes or checkpoint do not fit the model
    dict(type='CheckFitHook'),
    # with SeededInfiniteSampler: a resumed run goes on as if it had not been interrupted
    dict(type='IterationSeedHook'),
    # `memory` in the log on machines without a GPU
    dict(type='PeakMemoryHook'),
]

env_cfg = dict(
    cudnn_benchmark=False,  # the sizes of the frames vary
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),  # on machines without a GPU the tools take gloo
)
randomness = dict(seed=0)

visualizer = dict(
    type='DetLocalVisualizer', name='visualizer', vis_backends=[dict(type='LocalVisBackend')]
)
log_processor = dict(type='ScoreLogProcessor', window_size=50, by_epoch=False)
log_level = 'INFO'

load_from = None
resume = False
