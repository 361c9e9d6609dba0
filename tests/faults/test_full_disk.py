"""What happens when the disk is full: one line, exit code 2, no half file, nothing left over."""

import errno
import json
import os
import runpy
import shutil
import sys
from pathlib import Path

import pytest
from mmengine.logging import MMLogger

from mmvis_cl.cli.command_line import main as command_line
from mmvis_cl.datasets.converters.moving_shapes import make_moving_shapes
from mmvis_cl.errors import InputError
from mmvis_cl.evaluation import VISMetric

TOOLS = Path(__file__).parents[2] / 'tools'
CONVERTERS = 'dataset_converters'
SHAPES = str(TOOLS.parent / 'configs' / '_base_' / 'datasets' / 'moving_shapes.py')
FROM_HERE = ['--cfg-options', 'train_dataloader.dataset.data_root=data']
RESULTS = ['--results', 'ours=results.json']
MERGE = ['--annotations', 'data/valid.json', '--workers', '1']
COMMANDS = [
    [f'{CONVERTERS}/split_vis.py', 'data/train.json', 'train.json', 'valid.json'],
    [f'{CONVERTERS}/vis_to_coco.py', 'data/valid.json', 'new/coco.json'],
    [f'{CONVERTERS}/check_vis.py', 'data/valid.json', '--images', 'data/JPEGImages', '--json', 'a'],
    [f'{CONVERTERS}/make_moving_shapes.py', '--out', 'new', '--train-videos', '1', '--length', '3'],
    ['analysis_tools/eval_vis.py', 'results.json', 'data/valid.json', '--json', 'new/scores.json'],
    ['analysis_tools/errors.py', 'results.json', 'data/valid.json', '--out', 'new'],
    ['analysis_tools/errors.py', 'results.json', 'data/valid.json', '--json', 'new/errors.json'],
    ['analysis_tools/shuffle_identities.py', 'results.json', 'new/shuffled.json'],
    ['mmvis-cl', 'eval', 'results.json', 'data/valid.json', '--json', 'new/scores.json'],
    ['mmvis-cl', 'merge', 'new/merged.json', 'results.json', 'results.json', *MERGE],
    ['mmvis-cl', 'merge', 'new/merged.zip', 'results.json', 'results.json', *MERGE],
    ['analysis_tools/plot_curves.py', 'run', '--out', 'new/curves.png'],
    ['visualization/compare.py', 'data/valid.json', 'data/JPEGImages', 'new', *RESULTS],
    ['visualization/browse_dataset.py', SHAPES, '--num', '1', '--out-dir', 'new', *FROM_HERE],
]


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp('disk')
    make_moving_shapes(folder / 'data', train_videos=3, valid_videos=1, length=3)
    content = json.loads((folder / 'data' / 'valid.json').read_text())
    results = [
        dict(
            video_id=track['video_id'],
            category_id=track['category_id'],
            score=0.5,
            segmentations=track['segmentations'],
        )
        for track in content['annotations']
    ]
    (folder / 'results.json').write_text(json.dumps(results))
    log = folder / 'run' / '20260101_000000' / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text('\n'.join(json.dumps(dict(loss=3.0 / i, step=i)) for i in (1, 2, 3)))
    return folder


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / 'here')
    monkeypatch.chdir(tmp_path / 'here')
    return tmp_path / 'here'


def files_in(folder):
    return sorted(str(path) for path in folder.rglob('*') if path.is_file())


def run(words, monkeypatch):
    monkeypatch.setattr(sys, 'argv', list(words))
    monkeypatch.syspath_prepend(str((TOOLS / words[0]).parent))
    try:
        if words[0] == 'mmvis-cl':
            return command_line(words[1:])
        runpy.run_path(str(TOOLS / words[0]), run_name='__main__')
    except SystemExit as stop:
        return stop.code
    return 0


@pytest.mark.parametrize('words', COMMANDS, ids=' '.join)
def test_a_full_disk_leaves_nothing(folder, monkeypatch, capsys, words):
    before = files_in(folder)
    tried = []

    def full(number):
        tried.append(number)
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    assert run(words, monkeypatch) == 2
    err = capsys.readouterr().err
    assert tried, 'it wrote nothing through whole_file'
    (line,) = (line for line in err.splitlines() if line.startswith('error: '))
    assert 'the disk is full; free some space or write elsewhere' in line
    assert 'Traceback' not in err
    assert files_in(folder) == before


@pytest.mark.parametrize('words', COMMANDS, ids=' '.join)
def test_a_file_in_place_of_the_folder(folder, monkeypatch, capsys, words):
    (folder / 'new').write_text('a file')
    for name in {'a', 'train.json'} & set(words):
        (folder / name).mkdir()
    before = files_in(folder)
    assert run(words, monkeypatch) == 2
    err = capsys.readouterr().err
    assert err.count('error: ') == 1 and 'Traceback' not in err
    assert files_in(folder) == before and (folder / 'new').read_text() == 'a file'


def metric(prefix):
    metric = VISMetric(ann_file=None, outfile_prefix=str(prefix), format_only=True)
    metric.dataset_meta = dict(classes=('a',))
    return metric


def test_results_of_a_test_are_put_elsewhere(tmp_path, monkeypatch):
    """A folder that went away in the hours that the test took."""
    (tmp_path / 'log').mkdir()
    MMLogger.get_instance('full_disk', log_file=str(tmp_path / 'log' / 'a.log'))
    (tmp_path / 'gone').write_text('')
    with pytest.raises(InputError, match='the results are in ') as error:
        metric(tmp_path / 'gone' / 'results')._write([dict(video_id=1)])
    path = str(error.value).rpartition('the results are in ')[2]
    assert json.loads(Path(path).read_text()) == [dict(video_id=1)]
    Path(path).unlink()


def test_results_that_can_be_written_nowhere_say_so(tmp_path, monkeypatch):
    def full(number):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(InputError, match='could be written nowhere; make room and test again'):
        metric(tmp_path / 'results')._write([dict(video_id=1)])
    assert not list(tmp_path.iterdir())
