"""Training, testing and ``import mmvis_cl.apis`` print only what is ours to say."""

import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.fileio import file_client
from mmengine.logging import MMLogger

from mmvis_cl.datasets.converters.moving_shapes import make_moving_shapes

ROOT = Path(__file__).parents[1]
# A network with all that warns: gradient checkpoints, rates of its own for the backbone, heads
# whose width is no power of two.
CONFIG = f"""
_base_ = '{ROOT}/configs/vis_cl/small_moving-shapes.py'
backbone = dict(
    _delete_=True, type='SwinTransformer', embed_dims=24, depths=(1, 1, 1, 1),
    num_heads=(1, 2, 4, 8), window_size=4, out_indices=(1, 2, 3), with_cp=True,
)
model = dict(detector=dict(backbone=backbone, neck=dict(in_channels=[48, 96, 192])))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))))
loader = dict(num_workers=0, persistent_workers=False, dataset=dict(data_root='DATA/'))
train_dataloader = dict(loader, batch_size=1)
val_dataloader = test_dataloader = loader
val_evaluator = test_evaluator = dict(ann_file='DATA/valid.json')
train_cfg = dict(max_iters=2, val_interval=2)
"""
STAMP = re.compile(r'\d\d/\d\d \d\d:\d\d:\d\d - mmengine - (\w+) - (.*)')
# What a line of the log says, by how it begins.
KNOWN = (
    'Config:', 'Distributed training is not used', 'Hooks will be executed', 'Checkpoints will be',
    'Iter(', 'YouTube-VIS scores of', 'Exp name', 'Saving checkpoint', 'Load checkpoint from',
    'test: ', 'DATA/train.json: 2 of 2 videos',
)  # fmt: skip
KNOWN_WARNINGS = ('No pre-trained weights', 'this machine is busy')


def run(*arguments, **options):
    env = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=env, **options)


def test_import_is_silent():
    """With all warnings shown that Python shows."""
    done = run(
        '-c', 'import mmvis_cl.apis, mmvis_cl.engine, mmvis_cl.evaluation, mmvis_cl.datasets'
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')


def test_warnings_of_others_are_shown():
    code = (
        'import mmvis_cl.apis, warnings\n'
        "warnings.warn('of the user')\n"
        "warnings.warn_explicit('new in mmdet', UserWarning, 'a.py', 1, module='mmdet.models')\n"
        "warnings.warn_explicit('faster_coco_eval is not installed', UserWarning, 'b.py', 1, "
        "module='my.code')\n"
    )
    shown = run('-c', code).stderr
    for text in ('of the user', 'new in mmdet', 'faster_coco_eval is not installed'):
        assert text in shown


def test_compiling_mmdet_is_silent():
    """Its docstrings have escapes that Python 3.12 warns of, when it has no compiled files yet."""
    code = (
        "import warnings; warnings.filterwarnings('default', 'invalid escape')\n"
        'import mmvis_cl.apis\n'
        'compile(\'"\\\\ "\', "/x/site-packages/{}/models/a.py", "exec")\n'
    )
    assert run('-c', code.format('mmdet')).stderr == ''
    assert 'invalid escape sequence' in run('-c', code.format('mine')).stderr


@pytest.fixture(scope='module')
def logs(tmp_path_factory):
    """What a training and a test print."""
    folder = tmp_path_factory.mktemp('quiet')
    make_moving_shapes(folder / 'DATA', train_videos=2, valid_videos=1, length=3)
    (folder / 'config.py').write_text(CONFIG)
    work = ['--work-dir', 'work']
    train = run(ROOT / 'tools/train.py', 'config.py', *work, cwd=folder)
    test = run(ROOT / 'tools/test.py', 'config.py', 'work/iter_2.pth', *work, cwd=folder)
    assert (train.returncode, test.returncode) == (0, 0), train.stderr + test.stderr
    return train, test


def test_training_and_testing_warn_of_nothing(logs):
    for done in logs:
        assert not [
            line for line in done.stderr.splitlines() if not line.startswith(KNOWN_WARNINGS)
        ]


def test_the_log_has_only_lines_that_we_know(logs):
    for done in logs:
        text = re.sub('\x1b\\[[0-9;]*m', '', done.stdout)
        assert STAMP.match(text), 'something is printed before the log begins'
        said = [match.groups() for match in map(STAMP.match, text.splitlines()) if match]
        assert len(said) > 5
        for level, line in said:
            known = KNOWN if level == 'INFO' else KNOWN_WARNINGS
            assert line.strip() == '' or line.startswith(known), line


def test_silenced_lines_are_there_for_who_asks(caplog):
    logger = MMLogger.get_instance('of_test_quiet', log_level='DEBUG')
    lines = []
    logger.handlers = [logging.Handler()]
    logger.handlers[0].emit = lambda record: lines.append((record.levelname, record.getMessage()))
    file_client.FileClient(backend='disk')
    assert [level for level, line in lines if line.startswith('"FileClient" will')] == ['DEBUG']
