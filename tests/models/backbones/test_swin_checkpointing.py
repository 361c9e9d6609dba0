"""mmdet's Swin Transformer as the configs of Swin-L use it: states are computed again."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmvis_cl.registry import MODELS

CONFIGS = Path(__file__).parents[3] / 'configs' / 'vis_cl'


def backbone(**options):
    cfg = Config.fromfile(CONFIGS / 'swin-l_ytvis22.py').model.detector.backbone
    small = dict(embed_dims=24, num_heads=(2, 4, 8, 8), depths=(2, 2, 2, 2), window_size=3)
    cfg.update(small | dict(drop_path_rate=0.0, init_cfg=None) | options)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        model = MODELS.build(cfg)
    model.train()  # mmdet's gives nothing back
    return model


def step(model):
    """Gradients of all parameters, and the elements kept for the backward pass."""
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.append(t.numel()) or t, lambda t: t
    ):
        loss = sum((x**2).mean() for x in model(images))
    loss.backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    return gradients, sum(kept)


def test_same_gradients_and_less_memory():
    expected, most = step(backbone(with_cp=False))
    found, kept = step(backbone())
    assert kept < most / 2
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        # none is left out, so that find_unused_parameters=False holds
        assert value is not None and value.abs().sum() > 0, name
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize('path', sorted(CONFIGS.glob('*-l_*.py')), ids=lambda p: p.stem)
def test_on_in_the_configs_of_large_backbones(path):
    cfg = Config.fromfile(path).model
    assert cfg.get('detector', cfg).backbone.with_cp
