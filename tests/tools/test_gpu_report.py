"""The report on a GPU, and the benchmarks of which it is made, in small on the CPU."""

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / 'tools' / 'benchmarks'


def cells(line):
    return [cell.strip() for cell in line.strip().strip('|').split('|')]


def write_losses(folder, losses):
    path = folder / '20260101' / 'vis_data'
    path.mkdir(parents=True)
    records = [json.dumps(dict(loss=loss, iter=i)) for i, loss in enumerate(losses)]
    (path / 'scalars.json').write_text('\n'.join([*records, json.dumps(dict(AP=0.5))]))


def test_a_loss_that_falls_passes(import_benchmark, tmp_path, capsys):
    write_losses(tmp_path, torch.linspace(8, 2.1, 60).tolist())
    import_benchmark('gpu_report').check_losses(tmp_path)
    assert capsys.readouterr().out.startswith('Mean loss of the first ten iterations 7.550')


@pytest.mark.parametrize(
    ('losses', 'message'),
    [([3.0] * 60, 'did not fall'), ([3.0] * 20, '20 losses'), ([float('nan')] * 60, 'not fall')],
)
def test_other_losses_fail(import_benchmark, tmp_path, losses, message):
    write_losses(tmp_path, losses)
    with pytest.raises(SystemExit, match=message):
        import_benchmark('gpu_report').check_losses(tmp_path)


@pytest.mark.parametrize('device', ['cpu', 'cuda'])
def test_parts_name_files_that_are_there(import_benchmark, tmp_path, device):
    found = [
        word
        for half in import_benchmark('gpu_report').parts(device, tmp_path).values()
        for part in half
        for command in part.commands
        for word in command
        if word.startswith(('tools/', 'tests/', 'configs/'))
    ]
    assert len(found) > 10
    assert [word for word in found if not (ROOT / word).exists()] == []


def test_a_part_that_fails_or_hangs_leaves_the_others(import_benchmark):
    report = import_benchmark('gpu_report')

    def run(*code, limit=30.0):
        commands = [['-c', line] for line in code]
        return report.run_part(report.Part('A part', commands, limit), dict(os.environ), limit)

    good, text = run('print("one")', 'print("two")')
    assert good and text.startswith('## A part') and 'one' in text and 'two' in text
    good, text = run('print("seen"); raise SystemExit("told why")', 'print("never reached")')
    assert not good and 'seen' in text and 'told why' in text and 'exit code 1' in text
    assert '\nnever reached' not in text
    good, text = run('import time; print("begun", flush=True); time.sleep(60)', limit=2.0)
    assert not good and 'begun' in text and 'stopped after 2 s' in text


@torch.no_grad()
def test_loops_over_pairs_give_the_same(import_benchmark):
    association = import_benchmark('association')
    for name, work in association.WORK.items():
        plain, ours = work(14)
        assert plain() == ours(), name
        assert len(set(ours())) > 1, name
    # some of what the NMS is given is dropped, some kept
    for work in (association.box_nms, association.mask_nms_of):
        assert 0 < len(work(40)[0]()) < 40


def test_forms_of_attention(import_benchmark):
    attention = import_benchmark('attention')
    modules = attention.make_modules(32, 3)
    inputs = attention.make_inputs((32, 48), 3, 32, 1, 5, 'cpu')
    for run in (attention.forward, attention.forward_backward):
        line = cells(attention.table_row('small', run, modules, inputs, 1, 'cpu'))
        assert line[0] == 'small' and len(line) == 7
        assert float(line[4]) == pytest.approx(float(line[1]) / float(line[3]), abs=0.1)
        assert all(0 < float(differs) < 1e-5 for differs in line[5:])


def run_benchmark(import_benchmark, monkeypatch, capsys, command):
    """The rows of its table."""
    name = command.split('.')[0]
    module = import_benchmark(name)
    monkeypatch.setattr(sys, 'argv', command.split())
    monkeypatch.setattr('logging.disable', lambda level: None)  # for other tests it would last
    module.main()
    return [cells(line) for line in capsys.readouterr().out.splitlines() if line.startswith('| ')]


def test_frames_a_second(import_benchmark, monkeypatch, capsys):
    command = 'throughput.py small --size 64 96 --frames 3 --repeat 1 --batches 1 2 --kept 5 '
    command += '--precisions float32 bf16'
    _, _, *rows = run_benchmark(import_benchmark, monkeypatch, capsys, command)
    assert [row[1] for row in rows] == [
        "the release's way, float32",
        *(
            f'{precision}, {way}'
            for precision in ('float32', 'bf16')
            for way in ('one after the other', 'ahead', 'ahead, 2 at once')
        ),
    ]
    for row in rows:
        assert float(row[2]) == pytest.approx(1000 / float(row[4]), rel=0.05)


@torch.no_grad()
def test_all_ways_find_the_same_tracks(import_benchmark):
    throughput, inference = import_benchmark('throughput'), import_benchmark('inference')
    video = inference.Video((64, 96), 4, 'cpu')
    model = inference.make_model('small', video, 5)
    args = SimpleNamespace(
        no_release=False, precisions=['float32'], batches=[1, 3], no_graph=False, compile=False
    )
    found = {name: run() for name, run in throughput.ways(model, video, args)}
    assert len(found) == 4 and len(set(found.values())) == 1 and min(found.values()) > 4


def test_from_file_to_file(import_benchmark, monkeypatch, capsys):
    command = 'files.py --network small --size 72 128 --frames 3 --repeat 1 --kept 4'
    _, _, *rows = run_benchmark(import_benchmark, monkeypatch, capsys, command)
    assert [row[0] for row in rows] == [
        'decoded alone',
        'tracked, nothing written',
        'to JSON',
        'to JSON and a drawn video',
    ]
    assert all(float(row[1]) > 0 for row in rows)


@pytest.mark.parametrize(
    ('command', 'message'),
    [
        ('association.py --sizes 1', 'error: --repeat'),
        ('throughput.py small --frames 0', 'error: --frames'),
        ('files.py --frames 0', 'error: --frames'),
        ('attention.py --repeat 0', 'error: --repeat'),
    ],
)
def test_bad_numbers_are_one_clear_line(import_benchmark, monkeypatch, capsys, command, message):
    monkeypatch.setattr(sys, 'argv', command.split())
    with pytest.raises(SystemExit) as caught:
        import_benchmark(command.split('.')[0]).main()
    assert caught.value.code == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert errors[-1].startswith(message)
