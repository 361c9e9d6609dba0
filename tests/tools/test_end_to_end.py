"""The main job in small, by the commands of the README."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmvis_cl.datasets.converters.moving_shapes import make_moving_shapes

ROOT = Path(__file__).parents[2]
CONFIG = 'configs/vis_cl/small_moving-shapes.py'


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'shapes'
    make_moving_shapes(root, seed=3, train_videos=6, valid_videos=3, length=4)
    return root


def options(data, iterations):
    loaders = [
        f'{split}_dataloader.{key}={value}'
        for split in ('train', 'val', 'test')
        for key, value in (
            ('dataset.data_root', f'{data}/'),
            ('num_workers', 0),
            ('persistent_workers', False),
        )
    ]
    return [
        *loaders,
        'train_dataloader.batch_size=2',
        f'train_cfg.max_iters={iterations}',
        f'train_cfg.val_interval={iterations}',
        'default_hooks.checkpoint.interval=2',
        'default_hooks.logger.interval=1',
        *(f'{e}_evaluator.ann_file={data}/valid.json' for e in ('val', 'test')),
        # many weak detections, so that two or three iterations give something to compare
        'model.detector.test_cfg.score_thr=0.0',
        'model.tracker.first_thr=0.0',
        'model.tracker.new_thr=0.0',
        'model.test_cfg.result_score_thr=0.0',
    ]


def run(*command):
    env = dict(os.environ, OMP_NUM_THREADS='1', PYTHON=sys.executable)
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command, cwd=ROOT, env=env, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    )
    try:
        out, err = process.communicate(timeout=240)
    except BaseException:
        # With what it started, which holds the pipes open: else this test would wait for good.
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == 0, out[-2000:] + err[-4000:]
    return out + err


@pytest.fixture(scope='module')
def trained(data, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('work')
    args = (CONFIG, '--work-dir', work_dir, '--cfg-options', *options(data, 3))
    log = run(sys.executable, 'tools/train.py', *args)
    return work_dir, log


def test_training_logs_what_it_should(trained):
    work_dir, log = trained
    line = next(line for line in log.splitlines() if 'Iter(train) [3/3]' in line)
    for item in ('eta', 'loss_cls', 'd0.loss_mask', 'loss_embed', 'memory'):
        assert item in line
    assert 'youtube_vis/AP' in log
    assert (work_dir / 'iter_3.pth').exists()
    (scalars,) = work_dir.glob('*/vis_data/scalars.json')
    scored = [json.loads(line) for line in scalars.read_text().splitlines() if 'AP50' in line]
    assert [entry['step'] for entry in scored] == [3]  # where the curve puts the score


def test_results_videos_and_scores(trained, data, tmp_path):
    work_dir, _ = trained
    out = tmp_path / 'results.json'
    log = run(
        *(sys.executable, 'tools/test.py', CONFIG, work_dir / 'iter_3.pth'),
        *('--work-dir', tmp_path, '--out', out, '--show-dir', tmp_path / 'videos'),
        *('--cfg-options', *options(data, 3)),
    )
    results = json.loads(out.read_text())
    assert results and {len(r['segmentations']) for r in results} == {4}
    assert len(list((tmp_path / 'videos').glob('*.mp4'))) == 3
    scores = tmp_path / 'scores.json'
    run(
        *(sys.executable, 'tools/analysis_tools/eval_vis.py', out, data / 'valid.json'),
        *('--json', scores),
    )
    scores = json.loads(scores.read_text())
    assert f'youtube_vis/AR100: {scores["AR100"]:.4f}' in log.replace('  ', ' ')


def test_resume_goes_on_exactly(trained, data, tmp_path):
    """Two iterations and one more give the weights of three."""
    work_dir, _ = trained
    first = (CONFIG, '--work-dir', tmp_path, '--cfg-options')
    run(sys.executable, 'tools/train.py', *first, *options(data, 2))
    # schedule and validation of the longer run
    resume = (CONFIG, '--work-dir', tmp_path, '--resume', '--cfg-options')
    run(sys.executable, 'tools/train.py', *resume, *options(data, 3))
    a, b = (
        torch.load(d / 'iter_3.pth', weights_only=False)['state_dict'] for d in (work_dir, tmp_path)
    )
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_two_processes_train_and_give_the_same_results_in_testing(trained, data, tmp_path):
    work_dir, _ = trained
    cfg = ('--cfg-options', *options(data, 2))
    log = run('tools/dist_train.sh', CONFIG, '2', '--work-dir', tmp_path, *cfg)
    assert 'connected by gloo' in log
    assert (tmp_path / 'iter_2.pth').exists()
    results = []
    for name, command in (
        ('one', (sys.executable, 'tools/test.py', CONFIG, work_dir / 'iter_3.pth')),
        ('two', ('tools/dist_test.sh', CONFIG, work_dir / 'iter_3.pth', '2')),
    ):
        out = tmp_path / f'{name}.json'
        run(*command, '--work-dir', tmp_path / name, '--out', out, *cfg)
        results.append(json.loads(out.read_text()))
    assert len(results[0]) > 0
    assert results[0] == results[1]
