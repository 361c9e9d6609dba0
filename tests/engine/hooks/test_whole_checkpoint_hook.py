"""At whichever step of saving a training is killed, no more is lost than since the last one."""

import importlib.util
import itertools
import os
import re
from pathlib import Path

import pytest
import torch

from mmvis_cl.engine import checkpoints
from mmvis_cl.engine.checkpoints import newest_checkpoint

_spec = importlib.util.spec_from_file_location(
    'resume_runs_of_kills', Path(__file__).parents[1] / 'test_resume.py'
)
resume_runs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(resume_runs)
ITERATIONS, INTERVAL = 6, 2


class Killed(BaseException):
    """Like ``kill -9``, nothing is written or removed after it."""


@pytest.fixture
def kill_at(monkeypatch):
    """Sets the step of writing or removing before which the process is killed."""
    state = dict(step=0, at=None)

    def patched(original):
        def step(*args, **kwargs):
            if state['at'] is not None:
                if state['step'] >= state['at']:
                    raise Killed
                state['step'] += 1
            return original(*args, **kwargs)

        return step

    monkeypatch.setattr(checkpoints, 'is_running', lambda pid: False)  # it is this process
    for name in ('fsync', 'replace', 'remove', 'unlink'):
        monkeypatch.setattr(os, name, patched(getattr(os, name)))

    def set_step(at):
        state.update(step=0, at=at)

    return set_step


def iteration_of(path):
    return int(re.search(r'iter_(\d+)\.pth$', path)[1])


@pytest.mark.parametrize('keep', [1, 2])
def test_a_kill_at_any_step_loses_no_more_than_an_interval(tmp_path, kill_at, keep):
    hook = dict(interval=INTERVAL, max_keep_ckpts=keep)
    whole, _ = resume_runs.run(tmp_path / 'whole', ITERATIONS, **hook)
    reached = set()
    for step in itertools.count():
        work_dir = tmp_path / str(step)
        runner = resume_runs.build(work_dir, ITERATIONS, **hook)
        kill_at(step)
        try:
            runner.train()
            break
        except Killed:
            pass
        finally:
            kill_at(None)
        done = runner.iter + 1  # it was saving after this one
        path, passed_over = newest_checkpoint(work_dir)
        saved = iteration_of(path) if path else 0
        assert done - INTERVAL <= saved <= done
        assert not passed_over
        reached.add((done, saved))
        resumed = resume_runs.build(work_dir, ITERATIONS, resume=path or False, **hook)
        resumed.train()
        assert torch.equal(resume_runs.weights_of(resumed), whole)
        files = {path.name for path in work_dir.iterdir() if path.is_file()}
        files = {name for name in files if not name.endswith('.py')}  # the config
        last = range(ITERATIONS, 0, -INTERVAL)[:keep]
        assert files == {'last_checkpoint', *(f'iter_{number}.pth' for number in last)}
    # before and after each checkpoint got its name
    assert reached >= {(n, n - d) for n in range(2, ITERATIONS + 1, 2) for d in (0, INTERVAL)}


def test_the_best_checkpoint_is_removed_when_there_is_a_better_one(tmp_path, kill_at):
    hook = dict(interval=INTERVAL, max_keep_ckpts=1, save_best='AP', rule='greater')
    runner = resume_runs.build(tmp_path / 'run', 2, **hook)
    runner.train()
    best = next(hook for hook in runner.hooks if hasattr(hook, 'save_best'))
    best.after_val_epoch(runner, dict(AP=0.1))
    first = tmp_path / 'run' / 'best_AP_iter_2.pth'
    assert first.is_file()
    runner.train_loop._iter = 4
    for step in itertools.count():
        kill_at(step)
        try:
            best.after_val_epoch(runner, dict(AP=0.2))
            break
        except Killed:
            runner.message_hub.update_info('best_score', 0.1)
            runner.message_hub.update_info('best_ckpt', str(first))
            best.best_ckpt_path = str(first)
        finally:
            kill_at(None)
        files = list((tmp_path / 'run').glob('best_*.pth'))
        assert files and all(torch.load(path, weights_only=False) for path in files)
    assert step > 4
    assert [path.name for path in (tmp_path / 'run').glob('best_*')] == ['best_AP_iter_4.pth']
    # the same once more, as after a resumed validation
    runner.message_hub.update_info('best_score', 0.1)
    best.after_val_epoch(runner, dict(AP=0.2))
    assert [path.name for path in (tmp_path / 'run').glob('best_*')] == ['best_AP_iter_4.pth']
