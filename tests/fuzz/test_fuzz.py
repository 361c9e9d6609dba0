"""Every reader takes broken files: it ends well or in one line. `make fuzz` gives it many more."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import run

INPUTS = 2000
# Inputs that once did harm, of whatever seed.
CORPUS = json.loads(Path(__file__).with_name('corpus.json').read_text())


@pytest.mark.parametrize('name', run.TARGETS)
def test_good_files_are_read(name):
    """Else breaking them would show nothing."""
    assert run.try_input(name, 0, None) == 'ok'


@pytest.mark.parametrize('name', run.TARGETS)
def test_broken_files_are_read_or_refused(name):
    shares = sum(target.share for target in run.TARGETS.values())
    outcomes = []
    for number in range(-(-INPUTS * run.TARGETS[name].share // shares)):
        outcome = run.try_input(name, 1, number)
        assert outcome in ('ok', 'refused'), f'--input "{name}:1:{number}"\n{outcome}'
        outcomes.append(outcome)
    assert outcomes


@pytest.mark.parametrize('entry', CORPUS)
def test_what_once_did_harm(entry):
    name, seed, number = entry.rsplit(':', 2)
    assert run.try_input(name, int(seed), int(number)) in ('ok', 'refused')


def test_the_run_sees_failures_and_deaths(tmp_path):
    notes = [
        [0, 'masks'], [0, 'masks', 'ok'], [1, 'masks'], [1, 'masks', 'Traceback\nValueError: x'],
        [2, 'masks'],
    ]  # fmt: skip
    (tmp_path / '0.jsonl').write_text('\n'.join(json.dumps(note) for note in notes))
    assert run.report(tmp_path) == 2
    assert run.results_of(tmp_path)[2] == ('masks', None)


def test_half_a_line_of_notes_is_passed_over(tmp_path):
    (tmp_path / '0.jsonl').write_text('[0, "masks"]\n[0, "masks", "ok"]\n[1, "ma')
    assert run.results_of(tmp_path) == {0: ('masks', 'ok')}


def test_processes_that_cannot_start_are_no_success(tmp_path, monkeypatch):
    monkeypatch.setattr(run, '__file__', str(tmp_path / 'not_there.py'))
    with pytest.raises(SystemExit, match='before its first input'):
        run.run_all(0, 10, 1, tmp_path)


def test_an_exception_of_a_reader_is_told(monkeypatch):
    def fails(folder):
        raise KeyError('areas')

    monkeypatch.setitem(run.TARGETS, 'masks', run.TARGETS['masks']._replace(run=fails))
    assert "KeyError: 'areas'" in run.try_input('masks', 0, 0)


def test_a_reader_that_hangs_is_told(monkeypatch):
    def hangs(folder):
        while True:
            pass

    monkeypatch.setattr(run, 'SECONDS', 0.2)
    monkeypatch.setitem(run.TARGETS, 'masks', run.TARGETS['masks']._replace(run=hangs))
    assert 'HangError' in run.try_input('masks', 0, 0)
