"""The benchmark of masks compares what gives the same."""

import pytest


@pytest.fixture(scope='module')
def masks(import_benchmark):
    return import_benchmark('masks')


def test_objects_are_of_the_size_that_is_told(masks):
    logits = masks.logits_of('objects', 12)
    assert logits.shape == (12, *masks.LOGITS)
    share = (logits > 0).float().mean((1, 2))
    assert 0.003 < share.median() < 0.1
    assert (masks.logits_of('everything', 2) > 0).all()


def test_its_table(masks, capsys, monkeypatch):
    masks.main(['--number', '2', '--repeat', '1'])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith('| ')]
    rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in lines[2:]]
    assert [row[0] for row in rows] == [
        f'{kind} to {size}'
        for kind in ('objects', 'noise', 'everything')
        for size in ('480x854', '720x1280')
    ]
    monkeypatch.setattr(masks, 'encode_logits', lambda *args: [])
    masks.main(['--number', '1', '--repeat', '1'])
    assert capsys.readouterr().out.count('DIFFERS') == 6
    with pytest.raises(SystemExit) as stop:
        masks.main(['--number', '0'])
    assert stop.value.code == 2
