"""A small network with random weights and a video for the command line."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from synth_weights import synth

from mmvis_cl.cli import main
from mmvis_cl.registry import MODELS
from mmvis_cl.visualization import VideoWriter

ROOT = Path(__file__).parents[2]
TIMES = (0.0, 0.1, 0.2, 0.5, 0.6)
CONFIG = f"""
_base_ = {str(ROOT / 'configs' / 'vis_cl' / 'small_moving-shapes.py')!r}
# many weak detections, so that random weights give something to look at
model = dict(
    detector=dict(num_queries=12, test_cfg=dict(score_thr=0.0)),
    tracker=dict(first_thr=0.0, new_thr=0.0),
    test_cfg=dict(result_score_thr=0.0, frames_per_pass=2),
)
tta = dict(scales=[(224, 64), (224, 80)])
"""


@pytest.fixture(scope='session')
def model(tmp_path_factory):
    """The arguments that name a config and its random weights."""
    folder = tmp_path_factory.mktemp('cli')
    (folder / 'tiny.py').write_text(CONFIG)
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        network = MODELS.build(Config.fromfile(folder / 'tiny.py').model)
    state = {
        name: synth(name, tuple(value.shape), value.dtype)
        for name, value in network.state_dict().items()
    }
    torch.save(dict(state_dict=state), folder / 'tiny.pth')
    return ['--config', str(folder / 'tiny.py'), '--weights', str(folder / 'tiny.pth')]


@pytest.fixture(scope='session')
def video(tmp_path_factory):
    """A video of noise, 80x60 (width x height), with uneven times."""
    path = tmp_path_factory.mktemp('video') / 'my walk.mp4'
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 255, (len(TIMES), 6, 8, 3), dtype=np.uint8)
    with VideoWriter(path, fps=10) as writer:
        for frame, time in zip(blocks, TIMES, strict=True):
            writer.write(np.kron(frame, np.ones((10, 10, 1), np.uint8)), time)
    return path


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
