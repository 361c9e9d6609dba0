import io
import re
from types import SimpleNamespace

import pytest

from mmvis_cl.engine import ProgressBarHook


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(hook, batches):
    lines = []
    runner = SimpleNamespace(
        test_dataloader=SimpleNamespace(sampler=range(sum(batches))),
        logger=SimpleNamespace(info=lines.append),
    )
    hook.before_test_epoch(runner)
    for i, size in enumerate(batches):
        hook.after_test_iter(runner, i, data_batch=dict(inputs=[None] * size))
    return lines


def test_lines_where_there_is_no_terminal(monkeypatch):
    monkeypatch.setattr('sys.stderr', io.StringIO())
    clock = iter(range(0, 100, 3))  # each look at the clock is 3 s later
    monkeypatch.setattr(
        'mmvis_cl.engine.hooks.progress_bar_hook.time', SimpleNamespace(monotonic=clock.__next__)
    )
    lines = run(ProgressBarHook(interval=5), [2, 2, 2, 1])
    # At 3 s nothing; at 6 s a line; at 9 s nothing; the last batch always.
    assert len(lines) == 2
    assert re.match(r'test:  57%.* 4/7 \[00:06<00:04', lines[0])
    assert re.match(r'test: 100%.* 7/7 \[00:12<00:00', lines[1])


def test_a_bar_on_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr('sys.stderr', terminal)
    assert run(ProgressBarHook(), [1] * 3) == []
    assert '3/3' in terminal.getvalue()


@pytest.mark.parametrize('terminal', [io.StringIO, Terminal])
def test_other_processes_are_quiet(monkeypatch, terminal):
    stream = terminal()
    monkeypatch.setattr('sys.stderr', stream)
    monkeypatch.setattr('mmvis_cl.engine.hooks.progress_bar_hook.is_main_process', lambda: False)
    assert run(ProgressBarHook(), [1] * 3) == []
    assert stream.getvalue() == ''
