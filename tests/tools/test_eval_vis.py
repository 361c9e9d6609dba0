import json
import runpy
import zipfile
from pathlib import Path

import pytest

from mmvis_cl.datasets.converters.moving_shapes import make_moving_shapes

TOOLS = Path(__file__).parents[2] / 'tools'


def run(monkeypatch, tool, *arguments):
    monkeypatch.setattr('sys.argv', [tool, *map(str, arguments)])
    runpy.run_path(str(TOOLS / tool), run_name='__main__')


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """The annotations of moving shapes, and results that equal them."""
    root = tmp_path_factory.mktemp('eval') / 'moving_shapes'
    make_moving_shapes(root, seed=2, train_videos=1, valid_videos=8, length=16)
    annotations = json.loads((root / 'valid.json').read_text())
    results = [
        dict(
            video_id=track['video_id'],
            category_id=track['category_id'],
            score=0.9,
            segmentations=track['segmentations'],
        )
        for track in annotations['annotations']
    ]
    (root / 'results.json').write_text(json.dumps(results))
    with zipfile.ZipFile(root / 'results.zip', 'w') as archive:
        archive.write(root / 'results.json', 'results.json')
    return root


@pytest.mark.parametrize('suffix', ['json', 'zip'])
def test_perfect_results(monkeypatch, capsys, data, tmp_path, suffix):
    out = tmp_path / 'new' / 'scores.json'
    run(
        monkeypatch,
        'analysis_tools/eval_vis.py',
        data / f'results.{suffix}',
        data / 'valid.json',
        '--json',
        out,
    )
    scores = json.loads(out.read_text())
    for name in ('AP', 'AP50', 'AP75', 'AP_s', 'AR10', 'AR100'):
        assert scores[name] == pytest.approx(1)
    assert scores['AP_m'] == scores['AP_l'] == -1
    assert 0 < scores['AR1'] < 1  # look-alikes: more than one object of a class in a video
    annotations = json.loads((data / 'valid.json').read_text())
    assert scores['num_tracks'] == len(annotations['annotations'])
    assert (
        sum(figures['tracks'] for figures in scores['per_class'].values()) == scores['num_tracks']
    )
    printed = capsys.readouterr().out
    assert 'AP75' in printed
    assert 'triangle' in printed
    assert 'creating index' not in printed


def test_shuffled_identities_score_less_than_half(monkeypatch, data, tmp_path):
    shuffled, out = tmp_path / 'shuffled.json', tmp_path / 'scores.json'
    run(monkeypatch, 'analysis_tools/shuffle_identities.py', data / 'results.json', shuffled)
    run(monkeypatch, 'analysis_tools/eval_vis.py', shuffled, data / 'valid.json', '--json', out)
    assert json.loads(out.read_text())['AP'] < 0.5


@pytest.mark.parametrize(
    ('results', 'annotations', 'message'),
    [
        ('missing.json', 'valid.json', 'missing.json: no such file'),
        ('results.json', 'missing.json', 'missing.json: no such file'),
        ('valid.json', 'valid.json', 'not a YouTube-VIS result file'),
        ('results.json', 'results.json', 'not a YouTube-VIS annotation file'),
        ('results.json', 'train.json', 'video_id 2 is not in the annotations'),
    ],
)
def test_errors_are_one_line(monkeypatch, capsys, data, results, annotations, message):
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, 'analysis_tools/eval_vis.py', data / results, data / annotations)
    assert caught.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ''
    assert printed.err.startswith('error: ')
    assert message in printed.err
    assert printed.err.count('\n') == 1


def test_short_and_long_videos(monkeypatch, capsys, data, tmp_path):
    tool, out = 'analysis_tools/eval_vis.py', tmp_path / 'scores.json'
    (tmp_path / 'long.txt').write_text('2 5 8')
    files = data / 'results.json', data / 'valid.json'
    run(monkeypatch, tool, *files, '--long-videos', tmp_path / 'long.txt', '--json', out)
    printed = capsys.readouterr().out
    scores = json.loads(out.read_text())
    assert scores['AP_short'] == scores['AP_long'] == scores['AP_mean'] == pytest.approx(1)
    assert (scores['num_videos_short'], scores['num_videos_long']) == (5, 3)
    tracks = json.loads((data / 'valid.json').read_text())['annotations']
    expected = sum(track['video_id'] in (2, 5, 8) for track in tracks)
    assert scores['num_tracks_long'] == expected
    assert f'3 with {expected} are long' in printed
    assert [line.split()[:2] for line in printed.splitlines()[2:7]] == [
        ['AP', 'AP50'],
        *[[label, '1.000'] for label in ('all', 'short', 'long', 'mean')],
    ]
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, tool, *files, '--long-videos', 17)  # they have 16 frames
    assert caught.value.code == 2
    assert 'long_videos=17 (frames or more): none of the 8' in capsys.readouterr().err


def test_make_moving_shapes(monkeypatch, capsys, tmp_path):
    tool = 'dataset_converters/make_moving_shapes.py'
    few = ['--train-videos', 1, '--valid-videos', 1, '--length', 3, '--out', tmp_path / 'shapes']
    run(monkeypatch, tool, *few)
    assert 'written' in capsys.readouterr().out
    run(monkeypatch, tool, *few)
    assert 'already there' in capsys.readouterr().out
    with pytest.raises(SystemExit):
        run(monkeypatch, tool, *few, '--seed', 1)
    assert capsys.readouterr().err.startswith('error: ')
    run(monkeypatch, tool, *few, '--seed', 1, '--force')
    assert 'written' in capsys.readouterr().out
