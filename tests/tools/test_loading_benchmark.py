"""The benchmark of data loading: its data, its rates and the times of the steps."""

import json
import logging
import time
from pathlib import Path

import pytest
from pycocotools import mask as mask_utils

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs' / 'vis_cl'


@pytest.fixture(scope='module')
def loading(import_benchmark):
    return import_benchmark('loading')


@pytest.fixture(autouse=True)
def _logging():
    yield
    logging.disable(logging.NOTSET)


def test_made_videos_are_whole(loading, tmp_path):
    path = loading.make_videos(tmp_path, ['cat', 'dog'], 2, 3, (80, 120), 2)
    content = json.loads(path.read_text())
    assert [video['length'] for video in content['videos']] == [3, 3]
    files = sorted(str(p.relative_to(tmp_path / 'JPEGImages')) for p in tmp_path.rglob('*.jpg'))
    assert files == [name for video in content['videos'] for name in video['file_names']]
    assert len(content['annotations']) == 4
    for track in content['annotations']:
        assert all(mask_utils.area(rle) > 0 for rle in track['segmentations'])


def test_stopwatch_counts_inner_calls_once(loading):
    def spin(seconds):
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass

    watch = loading.Stopwatch()
    inner = watch.timed('inner', lambda: spin(0.05))
    watch.timed('outer', lambda: (spin(0.02), inner(), inner()))()
    assert watch.seconds['inner'] == pytest.approx(0.1, abs=0.02)
    assert watch.seconds['outer'] == pytest.approx(0.02, abs=0.01)


def test_steps_add_up(loading, capsys):
    arguments = ['--samples', '4', '--videos', '2', '--length', '3', '--size', '80', '120']
    loading.main([str(CONFIGS / 'r50_ytvis21.py'), *arguments])
    out = capsys.readouterr().out
    rows = [line.strip('|').split('|') for line in out.splitlines() if line.startswith('|')]
    cpu_rate, wall_rate = map(float, rows[2][1:])
    steps = {name.strip(): float(ms) for name, ms, _ in rows[5:]}
    assert {'LoadFrame', 'LoadTrackAnnotations: masks from RLE', 'AlignedResize: image'} < set(
        steps
    )
    assert sum(steps.values()) - steps['all'] == pytest.approx(steps['all'], abs=0.1)
    assert cpu_rate > 0 and wall_rate > 0


def test_bad_input_is_one_clear_line(loading, capsys):
    for arguments, message in (
        ([str(CONFIGS / 'r50_coco.py')], 'VISDataset'),
        ([str(CONFIGS / 'r50_ytvis21.py'), '--ann-file', 'x.json'], '--ann-file and --images'),
    ):
        with pytest.raises(SystemExit) as caught:
            loading.main(arguments)
        assert caught.value.code == 2
        error = capsys.readouterr().err
        assert error.startswith('error: ') and message in error and error.count('\n') == 1
