"""A wrong setting of anything that is built gives one line with its place in the config."""

import inspect
import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.runner import Runner

import mmvis_cl.datasets
import mmvis_cl.engine
import mmvis_cl.evaluation
import mmvis_cl.models
import mmvis_cl.visualization  # noqa: F401
from mmvis_cl import registry
from mmvis_cl.config import build_errors_in_one_line
from mmvis_cl.engine.cli import build_runner
from mmvis_cl.errors import InputError
from mmvis_cl.registry import MODELS, VISUALIZERS

# timm's own check names an unknown option, check_checkpoint_hook one of mmengine's hook
TAKES_ANY = {'TimmBackbone', 'WholeCheckpointHook'}
OURS = [
    (parent, name, cls)
    for parent in vars(registry).values()
    if isinstance(parent, Registry)
    for name, cls in parent.module_dict.items()
    if cls.__module__.startswith('mmvis_cl.') and inspect.isclass(cls) and name not in TAKES_ANY
]
# what is looked at before the other arguments
TWO_SETS = torch.utils.data.ConcatDataset([[0], [1]])
TWO_SETS.metainfo = {}
STAND_INS = {
    ('RatioSampler', 'dataset'): TWO_SETS,
    ('RatioSampler', 'ratio'): (1, 1),
    ('QueryMaskFormer', 'panoptic_head'): {},
}


def message_of(cfg, key, part):
    """Builds a part of a config, which must fail; gives the message."""
    with pytest.raises(InputError) as caught, build_errors_in_one_line(cfg):
        getattr(registry, key).build(part)
    message = str(caught.value)
    assert '\n' not in message and '; ' in message
    return message


@pytest.mark.parametrize(('parent', 'name', 'cls'), OURS, ids=[name for _, name, _ in OURS])
def test_no_component_of_ours_takes_an_unknown_key(parent, name, cls):
    needed = {
        p.name: STAND_INS.get((name, p.name))
        for p in inspect.signature(cls.__init__).parameters.values()
        if p.default is p.empty
        and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        and p.name != 'self'
    }
    part = dict(type=name, **needed, colour_of_night='black')
    cfg = Config(dict(model=dict(inner=[dict(type='Other'), part])))
    with pytest.raises(InputError) as caught, build_errors_in_one_line(cfg):
        parent.build(cfg.model.inner[1])
    assert str(caught.value).startswith('model.inner.1.colour_of_night: ')


@pytest.mark.parametrize(
    ('key', 'part', 'wrong', 'near'),
    [
        ('MODELS', dict(type='MemoryBankTracker', memori_len=3), 'memori_len', 'memory_len'),
        ('MODELS', dict(type='BoxIoUTracker', max_unsen=3), 'max_unsen', 'max_unseen'),
        ('MODELS', dict(type='mmdet.ResNet', depth=18, deep_sten=1), 'deep_sten', 'deep_stem'),
        ('MODELS', dict(type='mmdet.FocalLoss', gama=2.0), 'gama', 'gamma'),
        ('TRANSFORMS', dict(type='Resize', scale=(2, 2), keep_ration=1), 'keep_ration', 'keep_rat'),
        ('TRANSFORMS', dict(type='AlignedResize', scale=(2, 2), clip_obj=1), 'clip_obj', 'clip_ob'),
        ('HOOKS', dict(type='LoggerHook', intervall=3), 'intervall', 'interval'),
        ('METRICS', dict(type='VISMetric', an_file='a'), 'an_file', 'ann_file'),
        ('TASK_UTILS', dict(type='OTAAssigner', candidates_topk=1), 'candidates_topk', 'candidate'),
        ('VISBACKENDS', dict(type='LocalVisBackend', savedir='a'), 'savedir', 'save_dir'),
    ],
)
def test_the_near_key_is_named(key, part, wrong, near):
    cfg = Config(dict(top=dict(part=part)))
    message = message_of(cfg, key, cfg.top.part)
    assert message.startswith(f'top.part.{wrong}: ')
    assert near in message.rpartition('; did you mean ')[2]


@pytest.mark.parametrize(
    ('key', 'wrong', 'right'),
    [
        ('MODELS', 'MemoryBankTraker', 'MemoryBankTracker'),
        ('MODELS', 'mmvis_cl.ContrastivVIS', 'ContrastiveVIS'),
        ('MODELS', 'ResNt', 'ResNet'),
        ('DATASETS', 'VISDatset', 'VISDataset'),
        ('HOOKS', 'CheckpontHook', 'CheckpointHook'),
        ('OPTIMIZERS', 'AdmW', 'AdamW'),
    ],
)
def test_the_near_type_is_named_wherever_it_is_registered(key, wrong, right):
    cfg = Config(dict(a=dict(b=dict(type=wrong))))
    message = message_of(cfg, key, cfg.a.b)
    assert message.startswith(f'a.b.type: {wrong} is not known')
    assert f'did you mean {right}?' in message


def test_a_type_like_no_other():
    cfg = Config(dict(a=dict(type='Zzyzx')))
    assert 'custom_imports' in message_of(cfg, 'MODELS', cfg.a)


def test_a_missing_key():
    cfg = Config(dict(model=dict(neck=dict(type='mmdet.ChannelMapper', num_outs=3))))
    message = message_of(cfg, 'MODELS', cfg.model.neck)
    assert message.startswith('model.neck: ChannelMapper needs in_channels and out_channels; ')


def test_a_key_of_an_inner_layer_is_found_in_the_outer_part():
    part = dict(type='mmdet.ResNet', depth=18, norm_cfg=dict(type='BN', epps=1.0))
    cfg = Config(dict(model=dict(backbone=part)))
    message = message_of(cfg, 'MODELS', cfg.model.backbone)
    assert message.startswith('model.backbone.norm_cfg.epps: ')
    assert message.endswith('did you mean eps?')


def test_a_value_that_the_component_refuses():
    cfg = Config(dict(model=dict(backbone=dict(type='mmdet.ResNet', depth=19))))
    message = message_of(cfg, 'MODELS', cfg.model.backbone)
    assert message.startswith('model.backbone (ResNet): invalid depth 19')
    assert 'resnet.py, line ' in message


def test_the_part_with_the_same_values_is_named():
    """Two of a type: the one that was built, not the first."""
    first = dict(type='MemoryBankTracker', memory_len=3, new_thr=0.4)
    cfg = Config(dict(first=first, second=dict(first, new_thr=0.3, memory_lens=4)))
    assert message_of(cfg, 'MODELS', cfg.second).startswith('second.memory_lens: ')


def test_errors_of_code_are_left_alone():
    """What a config cannot be the cause of keeps its traceback."""

    class Broken:
        def __init__(self):
            self.nothing.there  # noqa: B018

    cfg = Config(dict(a=dict(kind='x')))
    with pytest.raises(AttributeError), build_errors_in_one_line(cfg):
        MODELS.build(dict(type=Broken))


def test_errors_of_the_work_are_left_alone():
    with pytest.raises(TypeError), build_errors_in_one_line(Config()):
        torch.zeros(2, no_such_option=1)


@pytest.mark.parametrize(
    ('part', 'start'),
    [
        (dict(randomness=dict(sed=1)), 'randomness.sed: '),
        (dict(env_cfg=dict(mp_cfg=dict(mp_start='x'))), 'env_cfg.mp_cfg.mp_start: '),
        (dict(train_dataloader=dict(batch_size=1)), 'config: '),
        (dict(default_hooks=dict(timer=dict(type='ItrTimerHook'))), 'default_hooks.timer.type: '),
    ],
)
def test_what_the_runner_is_told(part, start, tmp_path):
    cfg = Config(
        dict(
            model=dict(type='MemoryBankTracker'),
            default_scope='mmvis_cl',
            work_dir=str(tmp_path),
            experiment_name=start,
            **part,
        )
    )
    with pytest.raises(InputError) as caught, build_errors_in_one_line(cfg):
        Runner.from_cfg(cfg)
    assert str(caught.value).startswith(start)


@pytest.mark.parametrize('backend', ['Wandb', 'MLflow', 'ClearML', 'Neptune', 'DVCLive', 'Aim'])
def test_a_logger_whose_package_is_missing(backend, tmp_path, monkeypatch):
    package = 'pygit2' if backend == 'DVCLive' else backend.lower()
    monkeypatch.setitem(sys.modules, package, None)
    name = f'{backend}VisBackend'
    visualizer = dict(
        type='Visualizer',
        name=f'v{backend}',
        save_dir=str(tmp_path),
        vis_backends=[dict(type='LocalVisBackend'), dict(type=name)],
    )
    cfg = Config(dict(visualizer=visualizer))
    with pytest.raises(InputError) as caught, build_errors_in_one_line(cfg):
        VISUALIZERS.build(cfg.visualizer).add_config(cfg)
    message = str(caught.value)
    assert f'{name} needs the package ' in message and 'pip install' in message


def test_a_key_that_the_checkpoint_hook_only_passes_on(tmp_path):
    """It would be found at the first checkpoint, after all the work."""
    cfg = Config(
        dict(
            model=dict(type='mmdet.ResNet', depth=18),
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', intervall=10)),
            default_scope='mmvis_cl',
            work_dir=str(tmp_path),
            launcher='none',
            experiment_name='intervall',
        )
    )
    with pytest.raises(InputError, match=r'CheckpointHook has no setting intervall; .*interval'):
        build_runner(cfg)
