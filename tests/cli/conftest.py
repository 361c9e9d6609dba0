"""A small network with random weights and a video for the command line."""

import pytest
from small_tracker import write_model, write_walk

from mmvis_cl.cli import main


@pytest.fixture(scope='session')
def model(tmp_path_factory):
    """The arguments that name a config and its random weights."""
    config, weights = write_model(tmp_path_factory.mktemp('cli'))
    return ['--config', str(config), '--weights', str(weights)]


@pytest.fixture(scope='session')
def video(tmp_path_factory):
    """A video of noise, 80x60 (width x height), with uneven times."""
    return write_walk(tmp_path_factory.mktemp('video') / 'my walk.mp4')


@pytest.fixture
def run(capsys):
    """Runs mmvis-cl; gives the exit code and both outputs."""

    def call(*argv):
        try:
            code = main([str(arg) for arg in argv])
        except SystemExit as stop:
            code = stop.code
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call
