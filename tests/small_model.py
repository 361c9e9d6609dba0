"""The small network of the made-up shapes, with random weights that are always the same."""

from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope

from mmvis_cl.models import ContrastiveVIS
from mmvis_cl.registry import MODELS

CONFIG = Path(__file__).parents[1] / 'configs' / 'vis_cl' / 'small_moving-shapes.py'


def small_model(
    change: Callable[[ConfigDict], None] | None = None, confident: bool = False
) -> ContrastiveVIS:
    """Builds it, in the mode of training.

    Args:
        change: What is to be different in ``cfg.model``.
        confident: Every query is a detection, so that there is something to track.
    """
    torch.manual_seed(0)
    cfg = Config.fromfile(CONFIG).model
    if change is not None:
        change(cfg)
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        model = MODELS.build(cfg)
    model.init_weights()
    if confident:
        for branch in model.detector.bbox_head.cls_branches:
            torch.nn.init.zeros_(branch.bias)
    return model
