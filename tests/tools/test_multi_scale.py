"""``tools/test.py --tta`` from the command line to the files."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmvis_cl.datasets.converters.moving_shapes import make_moving_shapes
from mmvis_cl.evaluation import merge_tracks
from mmvis_cl.registry import MODELS

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs' / 'vis_cl' / 'small_moving-shapes.py'
PLAIN_SCALE = (224, 112)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """A few moving shapes and a checkpoint, of a network to which everything is an object."""
    root = tmp_path_factory.mktemp('data')
    make_moving_shapes(root / 'shapes', train_videos=1, valid_videos=2, length=3)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        model = MODELS.build(Config.fromfile(CONFIG).model)
    model.init_weights()
    for branch in model.detector.bbox_head.cls_branches:
        torch.nn.init.zeros_(branch.bias)
    torch.save(dict(state_dict=model.state_dict()), root / 'model.pth')
    return root


def options(data, *more):
    return [
        '--cfg-options',
        f'test_dataloader.dataset.data_root={data}/shapes/',
        f'test_evaluator.ann_file={data}/shapes/valid.json',
        'test_dataloader.num_workers=0',
        'test_dataloader.persistent_workers=False',
        *more,
    ]


@pytest.fixture
def run(monkeypatch, capsys, tmp_path, data):
    """Runs tools/test.py in this process; gives the tracks that it wrote."""
    # mmengine lays out the whole config prettily four times a run, which takes longer than the test
    monkeypatch.setattr(Config, 'pretty_text', property(lambda cfg: repr(cfg)))

    def call(*args, more=()):
        out = tmp_path / 'results.json'
        argv = ['test.py', CONFIG, data / 'model.pth', '--work-dir', tmp_path / 'work']
        argv += ['--out', out, *args, *options(data, *more)]
        monkeypatch.setattr('sys.argv', [str(arg) for arg in argv])
        runpy.run_path(str(ROOT / 'tools' / 'test.py'), run_name='__main__')
        return json.loads(out.read_text()), capsys.readouterr()

    return call


def scales(*sizes):
    return f'tta.scales={list(sizes)}'.replace(' ', '')


def test_one_size_writes_exactly_what_the_plain_test_writes(run):
    plain, _ = run()
    assert len(plain) > 10
    tta, printed = run('--tta', more=[scales(PLAIN_SCALE)])
    assert tta == plain
    assert '6/6' in printed.out + printed.err  # frames, not frames times sizes


def test_sizes_are_merged_as_their_result_files_are(run, tmp_path):
    """Results, videos and scores; the same as merging what each size gives alone."""
    sizes = [PLAIN_SCALE, (224, 96)]
    alone = [run('--tta', more=[scales(size)])[0] for size in sizes]
    expected = []
    for video_id in sorted({t['video_id'] for t in alone[0]}):
        runs = [[t for t in tracks if t['video_id'] == video_id] for tracks in alone]
        for track in merge_tracks(runs, method='suppress'):
            del track['members']
            expected.append(dict(video_id=video_id, **track))
    show = ['--show-dir', tmp_path / 'videos']
    merged, printed = run('--tta', *show, more=[scales(*sizes), 'tta.merge_cfg.method=suppress'])
    assert merged == expected
    assert len(list((tmp_path / 'videos').glob('*.mp4'))) == 2
    assert 'youtube_vis/AP' in printed.out + printed.err


def test_mirrored_sizes_in_two_processes_for_a_submission(run, data, tmp_path):
    more = [scales(PLAIN_SCALE, (224, 96)), 'tta.flip=True']
    one, _ = run('--tta', more=more)
    out = tmp_path / 'two.json'
    command = ['tools/dist_test.sh', CONFIG, data / 'model.pth', '2', '--tta', '--format-only']
    command += ['--work-dir', tmp_path / 'two', '--out', out, *options(data, *more)]
    env = dict(os.environ, OMP_NUM_THREADS='1', PYTHON=sys.executable)
    done = subprocess.run(
        list(map(str, command)), cwd=ROOT, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert json.loads(out.read_text()) == one
    assert out.with_suffix('.zip').exists()


def test_a_config_without_sizes(run, capsys):
    with pytest.raises(SystemExit) as stop:
        run('--tta', more=['tta.scales=[]'])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith('error: ') and 'no tta.scales' in line
