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


@pytest.mark.parametrize(
    ('record', 'message'),
    [
        ('7', 'not a record'),
        ('[' * 100000, 'not JSON'),
        ('{"loss": 1.0}', 'has a loss and no step'),
        ('{"loss": 1.0, "step": "2"}', "step is '2', not a number"),
        ('{"loss": 1.0, "step": NaN}', 'step is nan, not a number'),
        ('{"loss": 1.0, "step": 2, "epoch": []}', r'epoch is \[\], not a number'),
        ('{"loss": [1, 2], "step": 2}', r'loss of step 2 in the log is \[1, 2\]'),
        ('{"loss": true, "step": 2}', 'loss of step 2 in the log is True'),
        ('{"loss": 1.0, "loss_cls": {}, "step": 2}', 'loss_cls of step 2 in the log is {}'),
    ],
)
def test_records_that_are_no_log_of_a_training(tmp_path, record, message):
    log = tmp_path / 'run' / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text(f'{{"loss": 2.0, "step": 1}}\n{record}\n{{"loss": 2.0, "step": 3}}\n')
    with pytest.raises(InputError, match=message):
        plot(*read_log(tmp_path), tmp_path / 'curves.png')


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


def axes_of(work_dir, tmp_path, monkeypatch):
    """{title: axis} of the picture of a log."""
    kept = {}
    figures = plot.__globals__['plt']
    monkeypatch.setattr(
        figures, 'close', lambda figure: kept.update({a.get_title(): a for a in figure.axes})
    )
    plot(*read_log(work_dir), tmp_path / 'curves.png')
    return kept


def write_losses(work_dir, losses, **scores):
    path = work_dir / '20240101_000000' / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    lines = [dict(loss=loss, step=50 * i) for i, loss in enumerate(losses, 1)]
    lines.append({key.replace('__', '/'): value for key, value in scores.items()} | dict(step=50))
    path.write_text('\n'.join(json.dumps(line) for line in lines))


def test_outliers_do_not_squeeze_the_curve(tmp_path, monkeypatch):
    """The first losses are a hundred times those that matter."""
    usual = np.linspace(3, 1, 60)
    write_losses(tmp_path, [900.0, 200.0, *usual[:30], 500.0, *usual[30:]])
    axis = axes_of(tmp_path, tmp_path, monkeypatch)['loss']
    low, high = axis.get_ylim()
    assert low < 1 and 3 < high < 4
    assert [text.get_text() for text in axis.texts] == ['3 of 63 outside, to 900']


def test_a_curve_without_outliers_is_shown_whole(tmp_path, monkeypatch):
    losses = 5 * np.exp(-np.arange(60) / 30) + 1
    write_losses(tmp_path, losses)
    axis = axes_of(tmp_path, tmp_path, monkeypatch)['loss']
    assert axis.get_ylim()[1] >= losses.max() and not axis.texts


def test_a_loss_that_is_no_number_is_left_out(tmp_path, monkeypatch):
    write_losses(tmp_path, [3.0, 2.0, float('nan'), 2.0, float('inf'), 1.0])
    raw, smooth = axes_of(tmp_path, tmp_path, monkeypatch)['loss'].lines
    assert raw.get_xdata().tolist() == [50, 100, 200, 300]
    assert np.isfinite(smooth.get_ydata()).all()


def test_low_scores_fill_their_axis(tmp_path, monkeypatch):
    write_losses(tmp_path, [2.0, 1.0], youtube_vis__AP=0.02, youtube_vis__AP50=0.04)
    low, high = axes_of(tmp_path, tmp_path, monkeypatch)['validation'].get_ylim()
    assert low == 0 and 0.04 < high < 0.06


def test_scores_of_other_metrics_are_drawn(tmp_path, monkeypatch):
    write_losses(tmp_path, [2.0, 1.0], coco__segm_mAP=0.3, coco__bbox_mAP=0.4)
    axis = axes_of(tmp_path, tmp_path, monkeypatch)['validation']
    assert [line.get_label() for line in axis.lines] == ['segm_mAP', 'bbox_mAP']
