"""The projects' configs, trained and tested in small by the commands of their READMEs."""

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch
from mmengine.registry import DefaultScope

from mmvis_cl.datasets.converters.moving_shapes import make_moving_shapes

ROOT = Path(__file__).parents[2]
SIZE = '(160,96)'  # of the frames as the network sees them


@pytest.fixture(autouse=True)
def own_scope():
    """A runner sets the default scope for good; that of mmdet is not for the tests that follow."""
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


@pytest.fixture(scope='session')
def shapes(tmp_path_factory):
    """Two videos to train on and one to test on, three frames each."""
    root = tmp_path_factory.mktemp('data') / 'shapes'
    make_moving_shapes(root, seed=1, train_videos=2, valid_videos=1, length=3)
    return root


@pytest.fixture
def run_tool(monkeypatch):
    """Runs a script of tools/ in this process, in the repository's root."""

    def run(script, *args):
        # a runner lays its config out several times, two seconds each for one of mmdet's
        for place in ('yapf.yapflib.yapf_api', 'mmengine.config.config'):  # the latter: 0.10.7
            monkeypatch.setattr(
                f'{place}.FormatCode', lambda text, **_: (text, True), raising=False
            )
        monkeypatch.chdir(ROOT)
        monkeypatch.setattr(sys, 'argv', [script, *map(str, args)])
        runpy.run_path(str(ROOT / 'tools' / script), run_name='__main__')

    return run


@pytest.fixture
def train_and_test(run_tool, shapes, tmp_path):
    """Trains a project's config for two iterations and tests it.

    Gives the losses of the last iteration, the scores, and the results' tracks.
    """

    def run(config, *options, resize=('1.transforms.2', '0.transforms.1')):
        torch.manual_seed(0)
        common = [f'visualizer.name={tmp_path}', *options]
        for split in ('train', 'val', 'test'):
            loader = f'{split}_dataloader'
            common += [
                f'{loader}.dataset.data_root={shapes}/',
                f'{loader}.num_workers=0',
                f'{loader}.persistent_workers=False',
            ]
            if resize:
                step = resize[0] if split == 'train' else resize[1]
                common.append(f'{loader}.dataset.pipeline.{step}.scale={SIZE}')
        for split in ('val', 'test'):
            common.append(f'{split}_evaluator.ann_file={shapes}/valid.json')
        common += [
            'train_dataloader.batch_size=2',
            'train_cfg.max_iters=2',
            'train_cfg.val_begin=9',
            'default_hooks.checkpoint.interval=2',
            'default_hooks.logger.interval=1',
            f'test_evaluator.outfile_prefix={tmp_path}/results',
        ]
        args = ('--work-dir', tmp_path, '--cfg-options', *common)
        run_tool('train.py', config, *args)
        train_log = [
            json.loads(line)
            for line in next(tmp_path.glob('*/vis_data/scalars.json')).read_text().splitlines()
        ]
        run_tool('test.py', config, tmp_path / 'iter_2.pth', *args)
        (scores,) = (json.loads(path.read_text()) for path in tmp_path.glob('*/*.json'))
        tracks = json.loads((tmp_path / 'results.json').read_text())
        return next(x for x in reversed(train_log) if 'loss' in x), scores, tracks

    return run
