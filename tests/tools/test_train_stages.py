"""The stages of a recipe, one after the other."""

import argparse
import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config, DictAction

from mmvis_cl.datasets.converters.moving_shapes import make_moving_shapes
from mmvis_cl.errors import one_line_errors

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools' / 'train_stages.py'
SMALL = ROOT / 'configs' / 'vis_cl' / 'small_moving-shapes.py'

spec = importlib.util.spec_from_file_location('train_stages', TOOL)
train_stages = importlib.util.module_from_spec(spec)
spec.loader.exec_module(train_stages)


def configured(config, options):
    """The config with settings as the command line gives them."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    config.merge_from_dict(parser.parse_args(['--cfg-options', *options]).cfg_options)
    return config


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_training_that_is_stopped_is_waited_for(tmp_path, capsys, number):
    """Its child signals this process, and takes its time to save when it is signalled itself."""
    child = """
import os, signal, sys, time
stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
os.kill(os.getppid(), int(sys.argv[1]))
while not stopped:
    time.sleep(0.01)
time.sleep(0.5)
open(sys.argv[2], 'w').close()
"""
    saved = tmp_path / 'iter_3.pth'
    with pytest.raises(SystemExit) as stop, one_line_errors():
        train_stages.run([sys.executable, '-c', child, str(int(number)), str(saved)])
    assert stop.value.code == 128 + number
    assert saved.exists()


def test_start_of_a_stage():
    video, image = Config(dict(model=dict(detector=dict()))), Config(dict(model=dict(neck=dict())))
    assert train_stages.start_options('x.pth', video, video) == ['load_from=x.pth']
    assert train_stages.start_options('x.pth', image, image) == ['load_from=x.pth']
    assert train_stages.start_options('x.pth', None, video) == ['load_from=x.pth']


@pytest.mark.parametrize('name', ['r50_coco-pseudo', 'r50_ytvis22', 'swin-l_ytvis22'])
def test_what_a_config_says_of_its_start_is_replaced(name):
    configs = ROOT / 'configs' / 'vis_cl'
    image = Config.fromfile(configs / 'r50_coco.py')
    config = Config.fromfile(configs / f'{name}.py')
    assert config.get('load_from') or config.model.detector.get('init_cfg')
    configured(config, train_stages.start_options('x.pth', image, config))
    assert config.model.detector.init_cfg == dict(type='Pretrained', checkpoint='x.pth')
    assert config.load_from is None

    config = Config.fromfile(configs / f'{name}.py')
    configured(config, train_stages.start_options('x.pth', config, config))
    assert config.load_from == 'x.pth' and config.model.detector.get('init_cfg') is None


def test_command_for_one_and_for_several_processes(tmp_path):
    one = train_stages.train_command('c.py', tmp_path, [], gpus=1, flags=[])
    assert one == [
        sys.executable, str(ROOT / 'tools' / 'train.py'), 'c.py',
        '--work-dir', str(tmp_path), '--resume',
    ]  # fmt: skip
    several = train_stages.train_command('c.py', tmp_path, ['a=1'], gpus=8, flags=['--amp'])
    assert several == [
        'bash', str(ROOT / 'tools' / 'dist_train.sh'), 'c.py', '8',
        '--work-dir', str(tmp_path), '--resume', '--amp', '--cfg-options', 'a=1',
    ]  # fmt: skip


@pytest.fixture
def recipe(tmp_path):
    """Two stages of one iteration; the second has another class count."""
    data = tmp_path / 'shapes'
    make_moving_shapes(data, train_videos=2, valid_videos=1, length=3)
    paths = []
    for name, iterations in (('first', 1), ('second', 2)):
        path = tmp_path / f'{name}.py'
        path.write_text(
            f'_base_ = {str(SMALL)!r}\n'
            f'loader = dict(num_workers=0, persistent_workers=False,\n'
            f"              dataset=dict(data_root='{data}/'))\n"
            'train_dataloader = dict(loader, batch_size=1)\n'
            'val_dataloader = test_dataloader = loader\n'
            f"val_evaluator = test_evaluator = dict(ann_file='{data}/valid.json')\n"
            f'train_cfg = dict(max_iters={iterations}, val_begin=9)\n'
            'default_hooks = dict(logger=dict(interval=1))\n'
        )
        paths.append(str(path))
    return paths


def run(*args):
    env = dict(os.environ, OMP_NUM_THREADS='1', PYTHON=sys.executable)
    command = [sys.executable, str(TOOL), *map(str, args)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)
    return done.returncode, done.stdout + done.stderr


def test_each_stage_starts_from_the_one_before_and_nothing_is_done_twice(recipe, tmp_path):
    work = tmp_path / 'work'
    broken = tmp_path / 'broken.py'
    broken.write_text(f'_base_ = {recipe[1]!r}\nmodel = dict(detector=dict(num_queries=0.5))\n')

    code, output = run(recipe[0], broken, '--work-dir', work)
    assert code == 2 and f'stage 2 ({broken}) ended with code 2' in output
    first = torch.load(work / '1_first' / 'iter_1.pth', weights_only=False)

    code, output = run(*recipe, '--work-dir', work, '--cfg-options', 'optim_wrapper.optimizer.lr=0')
    assert code == 0, output[-3000:]
    assert f'== stage 1 of 2: {recipe[0]}: done before' in output
    second = torch.load(work / '2_second' / 'iter_2.pth', weights_only=False)
    assert second['meta']['iter'] == 2  # it does not count the iterations of the first
    # with a learning rate of 0 every parameter is still the first stage's
    for name, value in first['state_dict'].items():
        if not name.endswith(('running_mean', 'running_var', 'num_batches_tracked')):
            assert torch.equal(second['state_dict'][name], value), name
    assert f'== done: {work}/2_second/iter_2.pth\n' in output


def test_a_missing_config_is_noticed_before_anything_is_trained(recipe, tmp_path):
    code, output = run(recipe[0], tmp_path / 'no.py', '--work-dir', tmp_path / 'work')
    assert code == 2 and 'no.py: there is no such config file' in output
    assert not (tmp_path / 'work').exists()
