import json
import runpy
from pathlib import Path

import pytest

from mmvis_cl.datasets.converters.moving_shapes import make_moving_shapes
from mmvis_cl.evaluation import analyse_errors, evaluate_tracks

TOOL = Path(__file__).parents[2] / 'tools/analysis_tools/errors.py'


def run(monkeypatch, *arguments):
    monkeypatch.setattr('sys.argv', ['errors.py', *map(str, arguments)])
    runpy.run_path(str(TOOL), run_name='__main__')


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Annotations, and results that find all but the last object, the first as two halves."""
    root = tmp_path_factory.mktemp('errors') / 'moving_shapes'
    make_moving_shapes(root, seed=2, train_videos=1, valid_videos=3, length=6)
    annotations = json.loads((root / 'valid.json').read_text())
    results = [
        {key: track[key] for key in ('video_id', 'category_id', 'segmentations')} | dict(score=0.9)
        for track in annotations['annotations'][:-1]
    ]
    masks = results[0]['segmentations']
    # Two of six frames are too few for a match.
    results[0] |= dict(segmentations=masks[:2] + [None] * 4)
    for first in (2, 4):
        part = [mask if first <= t < first + 2 else None for t, mask in enumerate(masks)]
        results.append(results[0] | dict(segmentations=part, score=0.5))
    (root / 'results.json').write_text(json.dumps(results))
    return root


def test_tables_plots_and_figures(monkeypatch, capsys, data, tmp_path):
    files = data / 'results.json', data / 'valid.json'
    out, figures = tmp_path / 'plots', tmp_path / 'new' / 'errors.json'
    run(monkeypatch, *files, '--out', out, '--json', figures, '--worst', 2)
    printed = capsys.readouterr().out
    found = json.loads(figures.read_text())
    assert found == json.loads(json.dumps(analyse_errors(*files)))
    counts = {kind: row['count'] for kind, row in found['losses'].items()}
    assert {kind: count for kind, count in counts.items() if count} == {
        'association': 3,
        'missed': 1,
    }
    scores = evaluate_tracks(*files)
    lines = [line.split() for line in printed.splitlines()]
    assert [f'{scores["AP"]:.3f}', f'{scores["AP50"]:.3f}'] == lines[2][:2]
    loss = found['losses']['association']
    assert ['association', f'{loss["AP50"]:.3f}', f'{loss["AP"]:.3f}', '3'] in lines
    assert 'of the association errors 3 are split, 0 merged' in printed
    worst = [line for line in lines if line and line[0].startswith('valid_')]
    assert [line[0] for line in worst] == [video['name'] for video in found['videos'][:2]]
    assert {path.name for path in out.iterdir()} == {
        f'{name}.{suffix}'
        for name in ('errors', 'classes', 'lengths', 'videos', 'identities')
        for suffix in ('png', 'svg')
    }


def test_plots_show_the_figures(data):
    tool = runpy.run_path(str(TOOL))
    found = analyse_errors(data / 'results.json', data / 'valid.json')
    (axis,) = tool['plot_losses'](found).axes
    widths = [[bar.get_width() for bar in group] for group in axis.containers]
    assert widths == [[row[name] for row in found['losses'].values()] for name in ('AP50', 'AP')]
    (axis,) = tool['plot_classes'](found).axes
    per_class = {
        f'{name} ({row["tracks"]})': row for name, row in found['scores']['per_class'].items()
    }
    for points, key in zip(axis.collections[1:], ('AP', 'AP50'), strict=True):
        drawn = points.get_offsets()[:, 0].tolist()
        names = [label.get_text() for label in axis.get_yticklabels()]
        expected = [per_class[name][key] for name in names]
        assert drawn == pytest.approx(expected)
    assert len(names) == sum(row['AP'] >= 0 for row in per_class.values())
    (axis,) = tool['plot_videos'](found, 2).axes
    assert [bar.get_width() for bar in axis.containers[0]] == [
        video['loss'] for video in found['videos'][:2]
    ]


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['missing.json', 'valid.json'], 'missing.json: no such file'),
        (['valid.json', 'valid.json'], 'not a YouTube-VIS result file'),
        (['results.json', 'train.json'], 'is not in the annotations'),
        (['results.json', 'valid.json', '--worst', '0'], '--worst 0'),
    ],
)
def test_errors_are_one_line(monkeypatch, capsys, data, arguments, message):
    monkeypatch.chdir(data)
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, *arguments)
    assert caught.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith('error: ') and message in printed
    assert printed.count('\n') == 1
