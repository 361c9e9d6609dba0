"""Small videos and a small network for ``track-all``: for tests, kills and measurements."""

from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from small_videos import write_video
from synth_weights import synth

from mmvis_cl.registry import MODELS

ROOT = Path(__file__).parents[1]
CONFIG = f"""
_base_ = {str(ROOT / 'configs' / 'vis_cl' / 'small_moving-shapes.py')!r}
custom_imports = dict(imports=['deadly_transform'])
test_pipeline = _base_.test_pipeline
test_pipeline[0].transforms[1].scale = (64, 48)
test_pipeline.insert(0, dict(type='Deadly'))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
# many weak detections, so that random weights give something to look at
model = dict(
    detector=dict(num_queries=12, test_cfg=dict(score_thr=0.0)),
    tracker=dict(first_thr=0.0, new_thr=0.0),
    test_cfg=dict(result_score_thr=0.0),
)
"""


def make_model(folder: Path) -> tuple[Path, Path]:
    """Write a config and weights that are always the same; ``deadly_transform`` must be found."""
    config, weights = folder / 'tiny.py', folder / 'tiny.pth'
    config.write_text(CONFIG)
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        network = MODELS.build(Config.fromfile(config, import_custom_modules=False).model)
    state = {
        name: synth(name, tuple(value.shape), value.dtype)
        for name, value in network.state_dict().items()
    }
    torch.save(dict(state_dict=state), weights)
    return config, weights


def make_videos(folder: Path, count: int, frames: int = 16) -> list[Path]:
    """Write videos of 64x48 (width x height), each with another picture that moves."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    paths = []
    for number in range(count):
        picture = cv2.resize(rng.integers(0, 255, (6, 16, 3), dtype=np.uint8), (128, 48))
        images = [picture[:, 4 * t : 4 * t + 64] for t in range(frames)]
        paths.append(write_video(folder / f'{number:04}.mp4', images=images))
    return paths
