import io
import sys

import pytest

from mmvis_cl.cli import frame_progress
from mmvis_cl.cli.frame_progress import FrameProgress


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    now = [100.0]
    monkeypatch.setattr(frame_progress.time, 'monotonic', lambda: now[0])
    return now


def test_without_a_terminal_there_is_a_line_now_and_then(clock, monkeypatch):
    monkeypatch.setattr(sys, 'stderr', io.StringIO())
    with FrameProgress('tracking', 100) as progress:
        for seconds, done in ((5, 10), (10, 20), (12, 24), (25, 50)):
            clock[0] = 100.0 + seconds
            progress.update(done)
        assert progress.rate == pytest.approx(2)
    assert sys.stderr.getvalue().splitlines() == [
        'tracking: 20/100 frames, 2.0 frames/s, 0:00:40 left',
        'tracking: 50/100 frames, 2.0 frames/s, 0:00:25 left',
    ]


def test_of_a_live_source_nobody_knows_the_end(clock, monkeypatch):
    monkeypatch.setattr(sys, 'stderr', io.StringIO())
    with FrameProgress('tracking', None) as progress:
        clock[0] += 10
        progress.update(5)
    assert sys.stderr.getvalue() == 'tracking: 5 frames, 0.5 frames/s\n'


def test_a_terminal_gets_a_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv('TERM', 'xterm')
    monkeypatch.setenv('COLUMNS', '100')
    monkeypatch.setattr(sys, 'stderr', Terminal())
    with FrameProgress('tracking', 4) as progress:
        for done in range(1, 5):
            progress.update(done)
    assert 'tracking' in sys.stderr.getvalue() and '4/4' in sys.stderr.getvalue()
    assert 'frames/s' in sys.stderr.getvalue()
