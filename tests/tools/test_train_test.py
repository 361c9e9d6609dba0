"""The errors of ``tools/train.py`` and ``tools/test.py``, as a user meets them."""

import runpy
import sys
from pathlib import Path

import pytest
import torch

from mmvis_cl.datasets.converters.moving_shapes import make_moving_shapes

ROOT = Path(__file__).parents[2]
CONFIG = str(ROOT / 'configs' / 'vis_cl' / 'small_moving-shapes.py')


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """A few moving shapes; gives the options that point the config at them."""
    root = tmp_path_factory.mktemp('data') / 'shapes'
    make_moving_shapes(root, train_videos=2, valid_videos=1, length=3)
    options = [f'{split}_evaluator.ann_file={root}/valid.json' for split in ('val', 'test')]
    for split in ('train', 'val', 'test'):
        options += [
            f'{split}_dataloader.dataset.data_root={root}/',
            f'{split}_dataloader.num_workers=0',
            f'{split}_dataloader.persistent_workers=False',
        ]
    return options


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Runs a tool in this process; gives the exit code and the last line on stderr."""

    def call(tool, *args, options=()):
        argv = [tool, *args, '--work-dir', str(tmp_path / 'work')]
        if options:
            argv += ['--cfg-options', *options]
        monkeypatch.setattr(sys, 'argv', argv)
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(ROOT / 'tools' / tool), run_name='__main__')
        return stop.value.code, capsys.readouterr().err.strip().splitlines()[-1]

    return call


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / 'other.pth'
    torch.save(dict(state_dict={'conv.weight': torch.zeros(1, 1)}), path)
    return str(path)


def test_missing_files(run):
    assert run('train.py', 'no.py') == (2, 'error: no.py: there is no such config file')
    assert run('test.py', 'no.py', 'no.pth') == (2, 'error: no.py: there is no such config file')
    missing = (2, 'error: no.pth: there is no such checkpoint')
    assert run('test.py', CONFIG, 'no.pth') == missing
    assert run('train.py', CONFIG, '--resume', 'no.pth') == missing
    assert run('train.py', CONFIG, options=['load_from=no.pth']) == missing


def test_a_bad_name_for_the_results(run, checkpoint):
    code, line = run('test.py', CONFIG, checkpoint, '--out', 'results.txt')
    assert (code, line) == (2, 'error: --out results.txt: the name must end in .json')


def test_amp_without_a_gpu(run):
    if torch.cuda.is_available():
        pytest.skip('there is a GPU')
    code, line = run('train.py', CONFIG, '--amp')
    assert code == 2 and line.startswith('error: --amp: mixed precision needs a GPU')


@pytest.mark.parametrize('tool', ['train.py', 'test.py'])
def test_num_classes_that_do_not_fit(run, data, checkpoint, tool):
    args = [CONFIG, checkpoint] if tool == 'test.py' else [CONFIG]
    options = [*data, 'model.detector.bbox_head.num_classes=7']
    code, line = run(tool, *args, options=options)
    split = tool.removesuffix('.py')
    assert code == 2
    assert line.startswith('error: model.detector.bbox_head.num_classes is 7')
    assert f'{split}_dataloader has 3 classes' in line


@pytest.mark.parametrize('tool', ['train.py', 'test.py'])
def test_a_checkpoint_of_something_else(run, data, checkpoint, tool):
    args = [CONFIG, '--resume', checkpoint] if tool == 'train.py' else [CONFIG, checkpoint]
    code, line = run(tool, *args, options=data)
    assert code == 2
    assert line.startswith('error: ') and checkpoint in line
    what = 'has no state of a training' if tool == 'train.py' else 'it has conv.weight'
    assert what in line


@pytest.mark.parametrize('tool', ['train.py', 'test.py'])
@pytest.mark.parametrize('key', [None, 'model'])
def test_an_unconverted_checkpoint_of_the_release(run, data, tmp_path, tool, key):
    weights = {'detr.detr.query_embed.weight': torch.zeros(2, 4)}
    path = tmp_path / 'release.pth'
    torch.save({key: weights} if key else weights, path)
    if tool == 'test.py':
        code, line = run(tool, CONFIG, str(path), options=data)
    else:
        code, line = run(tool, CONFIG, options=[*data, f'load_from={path}'])
    assert code == 2
    assert "is one of the authors' release" in line
    assert f'release_to_mmvis_cl.py {path} OUT.pth' in line


def test_amp_needs_a_model_that_has_it(run, checkpoint):
    code, line = run(
        'test.py', CONFIG, checkpoint, '--amp', options=['model.type=mmvis_cl.MaskDeformableDETR']
    )
    assert code == 2
    assert line.startswith('error: --amp: a MaskDeformableDETR has no test_cfg.autocast')


def test_out_needs_a_metric_that_writes_results(run, checkpoint):
    args = ('test.py', CONFIG, checkpoint, '--out', 'results.json')
    code, line = run(*args, options=['test_evaluator.type=mmdet.CocoMetric'])
    assert code == 2 and 'need a VISMetric, and the config has none' in line
    # its subclasses do: the run gets as far as the checkpoint
    _, line = run(*args, options=['test_evaluator.type=mmvis_cl.BoxTrackMetric'])
    assert 'VISMetric' not in line
