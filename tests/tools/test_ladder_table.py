"""The table of the ladder."""

import json
import runpy
import sys
import zipfile
from pathlib import Path

import pytest

from mmvis_cl.datasets.converters.moving_shapes import make_moving_shapes
from mmvis_cl.evaluation import evaluate_tracks, shuffle_identities

ROOT = Path(__file__).parents[2]
TOOL = str(ROOT / 'tools' / 'benchmarks' / 'ladder_table.py')


@pytest.fixture
def run(monkeypatch, capsys):
    def call(*args):
        monkeypatch.setattr(sys, 'argv', [TOOL, *map(str, args)])
        try:
            runpy.run_path(TOOL, run_name='__main__')
        except SystemExit:
            return capsys.readouterr().err
        return capsys.readouterr().out

    return call


def test_mean_and_spread_over_the_seeds(run, tmp_path):
    make_moving_shapes(tmp_path / 'shapes', train_videos=1)
    annotations = json.loads((tmp_path / 'shapes' / 'valid.json').read_text())
    with zipfile.ZipFile(ROOT / 'tests' / 'data' / 'demo_results.zip') as archive:
        results = json.loads(archive.read('results.json'))
    half = [track for track in results if track['video_id'] % 2]
    for rung, seed, tracks in (
        ('a', 0, results), ('a', 1, half), ('b', 0, shuffle_identities(results, 0))
    ):  # fmt: skip
        folder = tmp_path / 'out' / rung / f'seed{seed}'
        folder.mkdir(parents=True)
        (folder / 'results.json').write_text(json.dumps(tracks))
    lines = run(tmp_path / 'out', tmp_path / 'shapes' / 'valid.json').strip().splitlines()
    assert lines[0] == '| rung | seeds | AP | AP50 | AP75 | AR10 |'
    whole, part = (evaluate_tracks(tracks, annotations)['AP'] for tracks in (results, half))
    spread = abs(whole - part) / 2**0.5  # the standard deviation of two values
    assert lines[2].startswith(f'| a | 2 | {(whole + part) / 2:.3f} ± {spread:.3f} |')
    assert lines[3].startswith('| b | 1 | 0.0') and '±' not in lines[3]


def test_nothing_to_score(run, tmp_path):
    (tmp_path / 'valid.json').write_text('{"videos": [], "categories": [], "annotations": []}')
    assert 'has no RUNG/seedN/results.json' in run(tmp_path, tmp_path / 'valid.json')
