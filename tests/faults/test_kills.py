"""A few kills; ``make faults`` does many."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(sys.platform != 'linux', reason='looks processes up in /proc')
def test_killed_trainings_lose_nothing():
    # In a process of its own: it forks, which one with threads must not.
    command = [sys.executable, Path(__file__).with_name('kills.py'), 'training', '--kills', '2']
    done = subprocess.run([*command, '--iterations', '20'], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('2 kills, ')
