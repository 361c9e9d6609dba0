"""What is said of a config before anything is built."""

import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmvis_cl.config import (
    check_loaders,
    check_names,
    check_paths,
    load_config,
    read_config,
    set_options,
)
from mmvis_cl.errors import InputError
from mmvis_cl.registry import MODELS

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs' / 'vis_cl'


@pytest.mark.parametrize(
    ('name', 'value', 'meant'),
    [
        ('train_dataloder', dict(batch_size=9), 'train_dataloader'),
        ('optim_wraper', dict(optimizer=dict(lr=7.0)), 'optim_wrapper'),
        ('custom_hook', [dict(type='H')], 'custom_hooks'),
        ('load_form', 'x.pth', 'load_from'),
        ('modle', dict(type='M'), 'model'),
        ('val_evaluater', dict(type='M'), 'val_evaluator'),
        ('optimizer', dict(type='SGD', lr=0.3), 'optim_wrapper.optimizer'),
        ('resume_from', 'x.pth', 'load_from with resume=True'),
    ],
)
def test_a_misspelt_name_is_refused(name, value, meant):
    cfg = Config({name: value, 'model': dict(type='Net')})
    with pytest.raises(InputError, match=f'nothing reads {name}; write {meant}'):
        check_names(cfg)


def test_variables_are_left_alone():
    optimizer = dict(type='SGD', lr=0.3)
    check_names(
        Config(
            dict(
                optimizer=optimizer,  # used below
                optim_wrapper=dict(optimizer=optimizer),
                mode='fast',
                test_pipeline=[dict(type='A')],
                dataset_type='VISDataset',
                my_own=dict(a=1),
            )
        )
    )


@pytest.mark.parametrize(
    ('place', 'key', 'near'),
    [
        ('auto_scale_lr', 'enabled', 'enable'),
        ('env_cfg', 'cudnn_benchmrk', 'cudnn_benchmark'),
        ('optim_wrapper.paramwise_cfg', 'norm_decay_mul', 'norm_decay_mult'),
        ('optim_wrapper.paramwise_cfg', 'custom_key', 'custom_keys'),
    ],
)
def test_a_misspelt_key_of_what_is_read_key_by_key(place, key, near):
    cfg = Config(dict(optim_wrapper=dict(type='W')))
    cfg.merge_from_dict({f'{place}.{key}': True})
    with pytest.raises(InputError, match=rf'{place}\.{key}: nothing reads it; did you mean {near}'):
        check_names(cfg)


def test_keys_of_other_constructors_are_left_alone():
    parts = dict(type='W', constructor='C', paramwise_cfg=dict(decay_rate=0.7, num_layers=12))
    check_names(Config(dict(optim_wrapper=parts, env_cfg=dict(mine=1))))


@pytest.mark.parametrize(
    ('place', 'near'),
    [('test_cfg', 'mask_nms_thr'), ('detector.test_cfg', 'score_thr')],
)
def test_a_misspelt_threshold_of_the_models(place, near):
    cfg = read_config(CONFIGS / 'small_moving-shapes.py')
    cfg.merge_from_dict({f'model.{place}.{near}s': 0.1})
    with (
        DefaultScope.overwrite_default_scope('mmvis_cl'),
        pytest.raises(InputError, match=rf'{near}s: nothing reads it; did you mean {near}\?'),
    ):
        MODELS.build(cfg.model)


@pytest.mark.parametrize('path', sorted(ROOT.glob('configs/*/*.py')), ids=lambda path: path.stem)
def test_no_config_of_ours_is_refused(path):
    cfg = read_config(path)
    check_names(cfg)
    check_loaders(cfg, ('train', 'val', 'test'))


@pytest.mark.parametrize(
    ('key', 'value'),
    [('persistent_workers', True), ('prefetch_factor', 4), ('multiprocessing_context', 'spawn')],
)
def test_a_loader_without_workers(key, value):
    cfg = Config(dict(val_dataloader={'num_workers': 0, key: value}, train_dataloader={key: value}))
    with pytest.raises(InputError, match=rf'val_dataloader\.{key}=.*num_workers is 0; set'):
        check_loaders(cfg, ['val'])
    with pytest.raises(InputError, match=rf'train_dataloader\.{key}='):
        check_loaders(cfg, ['train'])  # 0 is PyTorch's default
    check_loaders(cfg, ['test'])
    cfg.val_dataloader.num_workers = 1
    check_loaders(cfg, ['val'])


@pytest.mark.parametrize('name', ['swin-l_ytvis22', 'r50_ytvis22'])
def test_all_that_is_missing_is_said_at_once(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = load_config(str(CONFIGS / f'{name}.py'), None, None, 'none')
    with pytest.raises(InputError) as caught:
        check_paths(cfg, ('train', 'val'))
    message = str(caught.value)
    backbone = name.split('_')[0]
    for part in (
        '3 of its paths are not there',
        'train_dataloader.dataset.data_root=data/youtube_vis_2021/',
        'val_dataloader.dataset.data_root=data/youtube_vis_2022/',
        f'load_from={cfg.load_from}',
        f'made by {CONFIGS}/{backbone}_coco-pseudo.py',
        'load_from=None starts without',
    ):
        assert part in message
    stages = [f'{CONFIGS}/{backbone}_{stage}.py' for stage in ('coco', 'coco-pseudo', 'ytvis22')]
    assert f'tools/train_stages.py {" ".join(stages)} --work-dir' in message
    set_options(cfg, dict(load_from=None))
    with pytest.raises(InputError, match='2 of its paths are not there'):
        check_paths(cfg, ('train', 'val'))


def test_what_is_there_is_not_said(tmp_path):
    (tmp_path / 'frames').mkdir()
    for name in ('a.json', 'start.pth'):
        (tmp_path / name).touch()
    dataset = dict(
        type='ConcatDataset',
        datasets=[
            dict(data_root=str(tmp_path), ann_file='a.json', data_prefix=dict(img_path='frames')),
            dict(ann_file=str(tmp_path / 'b.json'), data_prefix=dict(img_path='')),
        ],
    )
    pretrained = dict(type='Pretrained', checkpoint='torchvision://resnet50')
    cfg = Config(
        dict(
            train_dataloader=dict(dataset=dataset),
            val_dataloader=dict(dataset=dict(ann_file='none.json')),
            model=dict(backbone=dict(init_cfg=pretrained)),
            load_from=str(tmp_path / 'start.pth'),
        )
    )
    with pytest.raises(InputError) as caught:
        check_paths(cfg, ['train'])
    assert '1 of its paths is not there: train_dataloader.dataset.datasets.1.ann_file=' in str(
        caught.value
    )
    (tmp_path / 'b.json').touch()
    check_paths(cfg, ['train'])
    pretrained['checkpoint'] = 'none.pth'
    cfg.model.backbone.init_cfg = pretrained
    with pytest.raises(InputError, match=r'model\.backbone\.init_cfg\.checkpoint=none\.pth'):
        check_paths(cfg, ['train'])
    check_paths(cfg, ['train'], weights=str(tmp_path / 'start.pth'))


@pytest.mark.parametrize(
    'arguments',
    [
        ['train.py', 'no.py'],
        ['train.py', 'no.py', '--no-such-option'],
        ['train.py', str(CONFIGS / 'swin-l_ytvis22.py')],
        ['train.py', str(CONFIGS / 'r50_ytvis21.py'), '--cfg-options', 'load_form=x'],
        ['test.py', str(CONFIGS / 'r50_ytvis21.py'), 'no.pth'],
        ['test.py', str(CONFIGS / 'r50_ytvis21.py'), str(CONFIGS), '--out', 'a.txt'],
        ['train_stages.py', 'no.py', '--work-dir', 'x'],
    ],
)
def test_wrong_arguments_are_answered_before_torch_is_imported(arguments, tmp_path):
    tool, *rest = arguments
    command = [sys.executable, '-X', 'importtime', str(ROOT / 'tools' / tool), *rest]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    imported = {
        line.rpartition('|')[2].strip()
        for line in done.stderr.splitlines()
        if line.startswith('import time:')
    }
    assert 'mmvis_cl.config' in imported and 'torch' not in imported
    said = [line for line in done.stderr.splitlines() if not line.startswith('import time:')]
    assert 'error: ' in said[-1] and (len(said) == 1 or said[0].startswith('usage: '))
