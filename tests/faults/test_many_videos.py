"""A few kills and a few broken videos; ``make faults`` has many."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name('many_videos.py')


def output(*words):
    done = subprocess.run([sys.executable, SCRIPT, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.skipif(sys.platform != 'linux', reason='looks processes up in /proc')
def test_a_killed_run_goes_on():
    told = output('kills', '--fake', '--number', '5', '--videos', '12')
    assert 'outputs are those of a run that nobody killed, each recorded once' in told


@pytest.mark.skipif(sys.platform != 'linux', reason='looks processes up in /proc')
def test_broken_videos_do_not_stop_the_others():
    told = output('broken', '--videos', '10', '--broken', '5')
    assert '5 right, 5 told; all right when mended' in told
    assert 'deadly: 1, as: its worker was ended by signal 9' in told


@pytest.mark.ray
def test_a_cluster_of_ray_survives_the_loss_of_a_node():
    pytest.importorskip('ray', reason="pip install 'mmvis_cl[ray]'")
    told = output('ray', '--videos', '9')
    assert 'then a node was removed' in told and 'all as those of local workers' in told
