"""The benchmark of drawing compares pictures that show the same."""

import av
import numpy as np
import pytest


@pytest.fixture(scope='module')
def drawing(import_benchmark):
    return import_benchmark('drawing')


def test_all_ways_draw_the_same_but_for_lines_and_places_of_labels(drawing):
    frames = drawing.frames_with(6, 2, 360, 640)
    assert len(frames) == 2 and (frames[0].bboxes != frames[1].bboxes).any()
    pictures = {name: draw(frames) for name, draw in drawing.ways().items()}
    ours = pictures.pop(drawing.OURS)
    assert drawing.SUPERVISION in pictures
    for theirs in pictures.values():
        for frame, one, other in zip(frames, ours, theirs, strict=True):
            differs = np.abs(one.astype(int) - other).max(2) > 2
            changed = np.abs(one.astype(int) - frame.image).max(2) > 2
            # supervision 0.25 puts the label of what touches the upper border outside
            assert differs.mean() < 0.2 * changed.mean()


def test_both_writers_write_all_frames(drawing, tmp_path):
    frames = drawing.frames_with(2, 5, 90, 160)
    for writer in (drawing.SerialWriter, drawing.VideoWriter):
        path = tmp_path / f'{writer.__name__}.mp4'
        drawing.write_video(writer, path, frames)
        with av.open(str(path)) as container:
            assert sum(1 for _ in container.decode(video=0)) == 5


def test_its_tables(drawing, capsys):
    options = ['--objects', '2', '3', '--frames', '1', '--height', '90', '--repeat', '1']
    drawing.main(options)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith('| ')]
    rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in lines]
    assert [row[0] for row in rows] == ['objects', '---', '2', '3', '', '---', 'ms a frame']
    ours = rows[0].index('ours')
    for row in rows[2:4]:
        ratio = float(row[1]) / float(row[ours])
        assert ratio == pytest.approx(float(row[ours + 1]), rel=0.2)
    with pytest.raises(SystemExit) as stop:
        drawing.main(['--objects', '0'])
    assert stop.value.code == 2
