"""Which processes are left of one that was started with ``start_new_session=True`` (on Linux)."""

import os
import signal
import time
from pathlib import Path

SECONDS = 60  # far more than it takes: a busy machine must not fail a test


def members(session: int) -> dict[int, str]:
    """The processes of a session that run, and their command lines."""
    found = {}
    for process in Path('/proc').glob('[0-9]*'):
        try:
            # After the name, which is in brackets: state, parent, group, session.
            state, _, _, of = process.joinpath('stat').read_text().rpartition(') ')[2].split()[:4]
            if int(of) == session and state != 'Z':
                found[int(process.name)] = process.joinpath('cmdline').read_text()
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def wait_until_gone(session: int) -> None:
    """Wait for the end of all processes of a session.

    Raises:
        AssertionError: Some are there after a minute; they are killed.
    """
    end = time.monotonic() + SECONDS
    while left := members(session):
        if time.monotonic() > end:
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            raise AssertionError(f'outlived the first of them: {left}')
        time.sleep(0.02)
