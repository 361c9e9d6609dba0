"""check_vis.py and split_vis.py on the command line."""

import json
import runpy
import shutil
from pathlib import Path

import pytest

from mmvis_cl.datasets.converters.moving_shapes import make_moving_shapes
from mmvis_cl.registry import DATASETS

TOOLS = Path(__file__).parents[2] / 'tools' / 'dataset_converters'


def run(monkeypatch, tool, *arguments):
    """Gives the exit code."""
    monkeypatch.setattr('sys.argv', [tool, *map(str, arguments)])
    try:
        runpy.run_path(str(TOOLS / tool), run_name='__main__')
    except SystemExit as ended:
        return ended.code
    return 0


@pytest.fixture
def shapes(tmp_path):
    make_moving_shapes(tmp_path / 'shapes', train_videos=6, valid_videos=1, length=3)
    return tmp_path / 'shapes'


def test_check_a_whole_tree(monkeypatch, capsys, shapes):
    assert run(monkeypatch, 'check_vis.py', shapes, '--workers', 2) == 0
    printed = capsys.readouterr().out
    tracks = len(json.loads((shapes / 'train.json').read_text())['annotations'])
    rows = [line.split() for line in printed.splitlines()]
    assert ['train', '6', '18', str(tracks)] in [row[:4] for row in rows]
    assert 'nothing is wrong' in printed and 'not checked: test' in printed


def test_check_says_all_that_is_wrong(monkeypatch, capsys, shapes, tmp_path):
    images = sorted((shapes / 'JPEGImages').glob('train_*/*.jpg'))
    for image in images[:3:2]:
        image.unlink()
    data = images[4].read_bytes()
    images[4].write_bytes(data[: len(data) * 3 // 4])
    options = ['--workers', 0, '--max-lines', 1]
    out = tmp_path / 'new' / 'report.json'
    assert run(monkeypatch, 'check_vis.py', shapes, *options, '--json', out) == 1
    printed = capsys.readouterr().out
    assert f'train: {images[0]} (video 1, frame 0): the image is missing' in printed
    assert str(images[2]) not in printed and "1 more of the kind 'missing image'" in printed
    assert f'train: {images[4]} (video 2, frame 1): the image cannot be decoded' in printed
    assert '3 problems' in printed
    report = json.loads(out.read_text())
    assert [problem['kind'] for problem in report['train']['problems']] == [
        'missing image',
        'missing image',
        'broken image',
    ]
    assert str(images[2]) in report['train']['problems'][1]['message']
    assert report['valid']['problems'] == [] and report['valid']['frames'] == 3
    # The header of the cut image is whole.
    assert run(monkeypatch, 'check_vis.py', shapes, '--workers', 0, '--fast') == 1
    assert '2 problems' in capsys.readouterr().out


def test_check_one_annotation_file(monkeypatch, capsys, shapes):
    arguments = [shapes / 'valid.json', '--images', shapes / 'JPEGImages', '--workers', 0]
    assert run(monkeypatch, 'check_vis.py', *arguments) == 0
    assert 'annotations 1' in ' '.join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['nowhere'], 'nowhere: there is no such folder'),
        (['valid.json'], 'with --images DIR'),
        (['absent.json', '--images', 'JPEGImages'], 'absent.json: there is no such annotation'),
        (['valid.json', '--images', 'nowhere'], '--images nowhere: there is no such folder'),
        (['JPEGImages'], 'no annotation file of any split'),
        (['.', '--workers', '-1'], '--workers -1'),
    ],
)
def test_nothing_to_check(monkeypatch, capsys, shapes, arguments, message):
    monkeypatch.chdir(shapes)
    assert run(monkeypatch, 'check_vis.py', *arguments) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith('error: ') and message in printed.err
    assert printed.err.count('\n') == 1


def test_split_can_be_trained_and_scored_on(monkeypatch, capsys, shapes):
    whole = json.loads((shapes / 'train.json').read_text())
    outs = shapes / 'train_part.json', shapes / 'valid_part.json'
    split = ['split_vis.py', shapes / 'train.json', *outs]
    assert run(monkeypatch, *split, '--valid-share', 0.34, '--seed', 3) == 0
    printed = capsys.readouterr().out
    parts = [json.loads(out.read_text()) for out in outs]
    assert [len(part['videos']) for part in parts] == [4, 2]
    for key in ('videos', 'annotations'):
        merged = sorted(parts[0][key] + parts[1][key], key=lambda item: item['id'])
        assert merged == whole[key]
    for out, part in zip(outs, parts, strict=True):
        assert f'{len(part["videos"])} videos, {len(part["annotations"])} tracks' in printed
        dataset = DATASETS.build(
            dict(
                type='mmvis_cl.VISDataset',
                data_root=str(shapes),
                ann_file=out.name,
                data_prefix=dict(img_path='JPEGImages'),
                pipeline=[],
            )
        )
        assert len(dataset) == len(part['videos'])
    first = [out.read_bytes() for out in outs]
    assert run(monkeypatch, *split, '--valid-share', 0.34, '--seed', 3) == 0
    assert [out.read_bytes() for out in outs] == first
    assert not list(shapes.glob('*.part'))


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['absent.json', 'a.json', 'b.json'], 'absent.json: no such file'),
        (['train.json', 'train.json', 'b.json'], 'two of them are the same file'),
        (['train.json', 'a.json', 'no/b.json'], 'there is no folder no'),
        (['train.json', 'a.json', 'b.json', '--valid-share', '1.5'], 'train.json: valid_share is'),
        (['cut.json', 'a.json', 'b.json'], 'cut.json: not valid JSON'),
    ],
)
def test_what_cannot_be_split(monkeypatch, capsys, shapes, arguments, message):
    monkeypatch.chdir(shapes)
    (shapes / 'cut.json').write_text('{"videos": [')
    before = shutil.copy('train.json', 'copy.json')
    assert run(monkeypatch, 'split_vis.py', *arguments) == 2
    printed = capsys.readouterr()
    assert message in printed.err and printed.err.count('\n') == 1
    assert not Path('a.json').exists()
    assert Path('train.json').read_bytes() == Path(before).read_bytes()
