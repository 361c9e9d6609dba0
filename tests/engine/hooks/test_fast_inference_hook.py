"""The hook prepares the runner's model, and only for tests."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from torch import nn

from mmvis_cl.engine.hooks import fast_inference_hook
from mmvis_cl.registry import HOOKS


def test_the_model_is_prepared_before_a_test(monkeypatch):
    seen = []
    monkeypatch.setattr(
        fast_inference_hook, 'prepare_for_inference', lambda *args: seen.append(args)
    )
    hook = HOOKS.build(dict(type='mmvis_cl.FastInferenceHook', channels_last=False))
    runner = SimpleNamespace(model=object())
    hook.before_test(runner)
    assert seen == [(runner.model, True, False, True, False)]


@pytest.mark.parametrize('stage', ['before_val', 'before_train'])
def test_training_and_validation_keep_the_model(stage):
    assert getattr(fast_inference_hook.FastInferenceHook, stage) is getattr(Hook, stage)


def test_a_model_of_another_kind_is_left_alone():
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)).eval()
    before = [type(m) for m in model.modules()]
    fast_inference_hook.FastInferenceHook().before_test(SimpleNamespace(model=model))
    assert [type(m) for m in model.modules()] == before
    assert model(torch.ones(1, 1, 2, 2)).shape == (1, 1, 2, 2)
