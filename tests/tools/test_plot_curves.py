import json
import runpy
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmvis_cl.errors import InputError

TOOL = Path(__file__).parents[2] / 'tools/analysis_tools/plot_curves.py'
tool = runpy.run_path(str(TOOL))
read_log, plot = tool['read_log'], tool['plot']


def write_run(work_dir, name, steps, loss, scored=(), tail=''):
    """A log as mmengine writes it: one JSON object a line."""
    lines = [
        dict(lr=1e-4, loss=loss, loss_cls=loss / 2, loss_mask=loss / 4, iter=step, step=step)
        | {'d0.loss_cls': loss}
        for step in steps
    ]
    lines += [
        {'youtube_vis/AP': loss / 10, 'youtube_vis/AP_l': -1.0, 'step': step} for step in scored
    ]
    lines.sort(key=lambda line: line['step'])
    path = work_dir / name / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text('\n'.join(json.dumps(line) for line in lines) + tail)


def steps_and(records, key):
    return [(record['step'], record[key]) for record in records]


def test_one_run(tmp_path):
    write_run(tmp_path, '20240101_000000', [50, 100, 150], 3.0, scored=[100])
    training, validation = read_log(tmp_path)
    assert steps_and(training, 'loss') == [(50, 3.0), (100, 3.0), (150, 3.0)]
    assert steps_and(validation, 'youtube_vis/AP') == [(100, 0.3)]


def test_resumed_run_replaces_what_was_lost(tmp_path):
    write_run(tmp_path, '20240101_000000', [50, 100, 150, 200], 3.0, [100, 200], tail='\n{"lo')
    write_run(tmp_path, '20240101_120000', [], 0.0, scored=[0])  # a test in the same folder
    write_run(tmp_path, '20240102_000000', [150, 200, 250], 2.0, [200])  # from 100 on
    training, validation = read_log(tmp_path)
    expected = [(50, 3.0), (100, 3.0), (150, 2.0), (200, 2.0), (250, 2.0)]
    assert steps_and(training, 'loss') == expected
    assert steps_and(validation, 'youtube_vis/AP') == [(100, 0.3), (200, 0.2)]


def test_new_training_in_the_same_folder(tmp_path):
    write_run(tmp_path, '20240101_000000', range(10, 200, 10), 3.0, [100])
    write_run(tmp_path, '20240102_000000', [50, 100], 2.0)
    training, validation = read_log(tmp_path)
    assert steps_and(training, 'loss') == [(50, 2.0), (100, 2.0)]
    assert validation == []


def test_validation_by_epoch_is_put_at_its_iteration(tmp_path):
    path = tmp_path / '20240101_000000' / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    lines = [
        dict(loss=1.0, epoch=1, step=50),
        dict(loss=1.0, epoch=1, step=80),
        {'youtube_vis/AP': 0.1, 'step': 1},
        dict(loss=1.0, epoch=2, step=160),
        {'youtube_vis/AP': 0.2, 'step': 2},
    ]
    path.write_text('\n'.join(json.dumps(line) for line in lines))
    assert steps_and(read_log(tmp_path)[1], 'youtube_vis/AP') == [(80, 0.1), (160, 0.2)]


@pytest.mark.parametrize(
    'make', [lambda folder: None, lambda folder: write_run(folder, 'a', [], 1.0)]
)
def test_no_log(tmp_path, make):
    make(tmp_path)
    with pytest.raises(InputError, match='no training log'):
        read_log(tmp_path)


def test_broken_log(tmp_path):
    write_run(tmp_path, '20240101_000000', [50], 1.0, tail='\nnonsense\n{"step": 3}')
    with pytest.raises(InputError, match='line 2: not JSON'):
        read_log(tmp_path)


def test_panels(tmp_path, monkeypatch):
    """One panel for the scores and one for each loss of the last layer, with all the data."""
    write_run(tmp_path, '20240101_000000', range(50, 1050, 50), 3.0, scored=[500, 1000])
    drawn = {}
    figures = plot.__globals__['plt']

    def keep(figure):
        for axis in figure.axes:
            if axis.get_title():
                drawn[axis.get_title()] = [line.get_xydata() for line in axis.lines]

    monkeypatch.setattr(figures, 'close', keep)
    plot(*read_log(tmp_path), tmp_path / 'curves.png')
    assert set(drawn) == {'youtube_vis/AP', 'loss', 'loss_cls', 'loss_mask'}
    assert drawn['youtube_vis/AP'][0].tolist() == [[500, 0.3], [1000, 0.3]]
    raw, smooth = drawn['loss_cls']
    assert raw[:, 0].tolist() == smooth[:, 0].tolist() == list(range(50, 1050, 50))
    assert np.allclose(raw[:, 1], 1.5)
    assert np.allclose(smooth[:, 1], 1.5)  # smoothing leaves a constant as it is
    image = cv2.imread(str(tmp_path / 'curves.png'))
    assert min(image.shape[:2]) > 400
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 10


def test_smoothing_keeps_a_slope_and_takes_off_noise():
    smoothed = plot.__globals__['_smoothed']
    line = np.linspace(3, 1, 200)
    noise = np.random.default_rng(0).normal(0, 0.5, 200)
    assert np.allclose(smoothed(line)[10:-10], line[10:-10])
    assert smoothed(line)[-1] == pytest.approx(line[-11:].mean())
    assert smoothed(noise).std() < 0.5 / 3


def test_command(tmp_path, monkeypatch, capsys):
    write_run(tmp_path, '20240101_000000', [50, 100, 150], 3.0, scored=[100])
    out = tmp_path / 'new' / 'curves.png'

    def run(*arguments):
        monkeypatch.setattr('sys.argv', ['plot_curves.py', *map(str, arguments)])
        runpy.run_path(str(TOOL), run_name='__main__')

    run(tmp_path, '--out', out, '--keys', 'd0.loss_cls', 'lr')
    assert out.exists()
    assert '150 iterations, 1 validations' in capsys.readouterr().out
    for arguments, message in [
        ([tmp_path / 'nothing', '--out', out], 'no training log'),
        ([tmp_path, '--out', out, '--keys', 'loss_of_sleep'], "no 'loss_of_sleep' in the log"),
    ]:
        with pytest.raises(SystemExit) as caught:
            run(*arguments)
        assert caught.value.code == 2
        assert message in capsys.readouterr().err
