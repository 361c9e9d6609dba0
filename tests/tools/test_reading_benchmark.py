"""The benchmark of reading reads files that are right, by every reader that it names."""

import pycocotools.mask as mask_utils
import pytest

from mmvis_cl.evaluation import load_annotations, load_results


@pytest.fixture(scope='module')
def reading(import_benchmark):
    return import_benchmark('reading')


def test_the_files_are_as_large_as_asked_and_right(reading, tmp_path):
    files = reading.write_files(tmp_path, 0.5)
    for path in files.values():
        assert path.stat().st_size == pytest.approx(5e5, rel=0.1)
    truth = load_annotations(files['annotations'])
    assert len(truth['annotations']) > 10
    mask = truth['annotations'][0]['segmentations'][1]
    assert 0 < mask_utils.area(dict(mask, counts=mask['counts'].encode())) < 720 * 1280
    assert len(load_results(files['results'])) > 10


def test_a_row_for_each_reader(reading, capsys):
    reading.main(['--megabytes', '0.2', '--repeat', '1'])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith('| ')]
    rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in lines[2:]]
    assert [cells[0] for cells in rows] == [
        'annotations, json alone',
        'annotations, ours',
        'results, json alone',
        'results, ours',
    ]
    for cells in rows:
        assert all(float(cell) >= 0 for cell in cells[1:])


@pytest.mark.parametrize('wrong', [['--megabytes', '0'], ['--repeat', '0']])
def test_bad_numbers_are_one_clear_line(reading, capsys, wrong):
    with pytest.raises(SystemExit) as stop:
        reading.main(wrong)
    assert stop.value.code == 2 and capsys.readouterr().err.startswith('error: --megabytes')
