"""A training that is stopped by a signal goes on where it was, bit for bit."""

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import find_latest_checkpoint

from mmvis_cl.engine import StopHook

_spec = importlib.util.spec_from_file_location(
    'resume_runs', Path(__file__).parents[1] / 'test_resume.py'
)
resume_runs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(resume_runs)


class Signals(Hook):
    """Sends signals to this process in the middle of an iteration."""

    def __init__(self, number, iteration, times=1):
        self.number, self.iteration, self.times = number, iteration, times

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter + 1 == self.iteration:
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)


def weights(runner):
    return torch.cat([p.detach().flatten() for p in runner.model.parameters()])


@pytest.fixture(autouse=True)
def handlers():
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    yield
    assert {n: signal.getsignal(n) for n in before} == before


@pytest.mark.parametrize('iteration', [3, 4])  # between two checkpoints, and at one
@pytest.mark.parametrize('workers', [0, 1])
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_what_was_learned_is_kept(tmp_path, capsys, number, workers, iteration):
    whole = resume_runs.build(tmp_path / 'whole', 8, num_workers=workers)
    whole.train()
    resume_runs.end_workers(whole)
    runner = resume_runs.build(tmp_path / 'stopped', 8, num_workers=workers)
    runner.register_hook(StopHook())
    runner.register_hook(Signals(number, iteration))
    if number == signal.SIGINT:
        with pytest.raises(KeyboardInterrupt):
            runner.train()
    else:
        with pytest.raises(SystemExit) as stop:
            runner.train()
        assert stop.value.code == 143
    resume_runs.end_workers(runner)
    assert f'stopped at iteration {iteration}; give the same command with --resume' in (
        capsys.readouterr().err
    )
    path = find_latest_checkpoint(str(tmp_path / 'stopped'))
    assert path == str(tmp_path / 'stopped' / f'iter_{iteration}.pth')
    assert not [name for name in os.listdir(tmp_path / 'stopped') if '.part' in name]
    again = resume_runs.build(tmp_path / 'stopped', 8, resume=True, num_workers=workers)
    again.register_hook(StopHook())
    again.train()
    resume_runs.end_workers(again)
    assert torch.equal(weights(again), weights(whole))


def test_a_stop_leaves_no_more_checkpoints_than_are_kept(tmp_path):
    """Nor takes it a file of the same name, which an earlier training left, for its own."""
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a' / 'iter_7.pth').write_text('of an earlier training')
    for iteration in (7, 14):
        resume = find_latest_checkpoint(str(tmp_path / 'a')) or False
        runner = resume_runs.build(tmp_path / 'a', 20, resume=resume, max_keep_ckpts=1)
        runner.register_hook(StopHook())
        runner.register_hook(Signals(signal.SIGTERM, iteration))
        with pytest.raises(SystemExit):
            runner.train()
        assert [path.name for path in (tmp_path / 'a').glob('*.pth')] == [f'iter_{iteration}.pth']
        path = tmp_path / 'a' / f'iter_{iteration}.pth'
        assert torch.load(path, weights_only=False)['meta']['iter'] == iteration


def test_the_second_ctrl_c_stops_at_once(tmp_path):
    # In a process of its own, not in a fork: a lock that another thread holds stays locked there.
    lines = [
        'import importlib.util, signal, sys',
        'from pathlib import Path',
        f'spec = importlib.util.spec_from_file_location("tests_of_stops", {__file__!r})',
        'tests = importlib.util.module_from_spec(spec)',
        'spec.loader.exec_module(tests)',
        'runner = tests.resume_runs.build(Path(sys.argv[1]), 8)',
        'runner.register_hook(tests.StopHook())',
        'runner.register_hook(tests.Signals(signal.SIGINT, 3, times=2))',
        'runner.train()',
    ]
    command = [sys.executable, '-c', '\n'.join(lines), str(tmp_path / 'a')]
    process = subprocess.run(command, timeout=120, check=False, capture_output=True, text=True)
    assert process.returncode == -signal.SIGINT, process.stderr
    assert not (tmp_path / 'a' / 'iter_3.pth').exists()
