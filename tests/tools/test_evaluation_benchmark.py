"""The benchmark of the evaluation compares like with like."""

import importlib.util
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / 'tools/benchmarks/evaluation.py'


@pytest.fixture(scope='module')
def evaluation():
    spec = importlib.util.spec_from_file_location('evaluation_benchmark', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cells(line):
    return [cell.strip() for cell in line.strip('|').split('|')]


def test_sets(evaluation):
    assert evaluation.make_video(3, 12) == evaluation.make_video(3, 12)
    assert evaluation.make_video(3, 12) != evaluation.make_video(4, 12)
    annotations, (results,) = evaluation.make_set(2, predictions=12, classes_a_mask=4)
    assert [video['id'] for video in annotations['videos']] == [1, 2]
    for video_id in (1, 2):
        tracks = [track for track in results if track['video_id'] == video_id]
        assert len(tracks) == 12
        assert len({str(track['segmentations']) for track in tracks}) == 3
        assert len({track['category_id'] for track in tracks}) > 3


def test_both_ways_give_the_same(evaluation):
    line = cells(evaluation.scoring_row(2, 12, 4, repeat=1))
    assert len(line) == 12
    assert float(line[-2]) <= 1e-9  # largest difference of any figure
    assert 0 < float(line[-1]) < 1  # AP
    rows = [cells(line) for line in evaluation.merging_rows(1, 4, repeat=1)]
    assert [(row[0], row[-1]) for row in rows] == [('suppress', 'yes'), ('fuse', 'yes')]


def test_bad_numbers_are_one_clear_line(evaluation, monkeypatch, capsys):
    monkeypatch.setattr('sys.argv', ['evaluation.py', '--videos', '0'])
    with pytest.raises(SystemExit) as caught:
        evaluation.main()
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith('error: --videos')
