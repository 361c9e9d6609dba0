"""A small network with random weights, as files, and a video, for what is run as a user runs it."""

from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from synth_weights import synth

from mmvis_cl.registry import MODELS
from mmvis_cl.visualization import VideoWriter

ROOT = Path(__file__).parents[1]
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


def write_model(folder: Path) -> tuple[Path, Path]:
    """Writes a config and its random weights."""
    (folder / 'tiny.py').write_text(CONFIG)
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        network = MODELS.build(Config.fromfile(folder / 'tiny.py').model)
    state = {
        name: synth(name, tuple(value.shape), value.dtype)
        for name, value in network.state_dict().items()
    }
    torch.save(dict(state_dict=state), folder / 'tiny.pth')
    return folder / 'tiny.py', folder / 'tiny.pth'


def write_walk(path: Path, times: tuple[float, ...] = TIMES) -> Path:
    """Writes a video of noise, 80x60 (width x height), with uneven times."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 255, (len(times), 6, 8, 3), dtype=np.uint8)
    with VideoWriter(path, fps=10) as writer:
        for frame, time in zip(blocks, times, strict=True):
            writer.write(np.kron(frame, np.ones((10, 10, 1), np.uint8)), time)
    return path
