"""A model that is tested, trained on and tested again gives what a fresh one gives."""

import copy

import pytest
import torch
from mmdet.structures import TrackDataSample
from mmengine.hooks import EMAHook
from mmengine.model import ExponentialMovingAverage
from mmengine.runner.checkpoint import load_state_dict
from release_fixtures import frame_sample
from small_model import small_model

from mmvis_cl.fast.fast_inference import prepare_for_inference

SHAPE = (60, 90)


def build():
    model = small_model(lambda cfg: cfg.detector.test_cfg.update(score_thr=0.0))
    for layer in (*model.detector.encoder.layers, *model.detector.decoder.layers):
        attention = getattr(layer, 'cross_attn', layer.self_attn)
        torch.nn.init.normal_(attention.sampling_offsets.weight, std=0.1)
    return model


@torch.no_grad()
def validate(model):
    """As a validation does: the mode is set, then frames are tracked from the first one."""
    model.eval()
    return watch(model)


@torch.no_grad()
def watch(model):
    torch.manual_seed(1)
    sample = TrackDataSample()
    sample.video_data_samples = [frame_sample(SHAPE) for _ in range(2)]
    for t, frame in enumerate(sample.video_data_samples):
        frame.set_metainfo(dict(frame_id=t, video_id=1, ori_video_length=2))
    states = []
    query_states = model.query_states
    model.query_states = lambda *args: states.append(query_states(*args)) or states[-1]
    model.predict(torch.randn(1, 2, 3, 64, 96), [sample])
    del model.query_states
    assert len(states) == 1
    return states[0].states, states[0].logits, states[0].boxes


def gradients(model):
    model.train()
    for i, parameter in enumerate(model.parameters()):
        torch.manual_seed(i)
        parameter.grad = torch.randn_like(parameter)


def optimiser(kind, **options):
    def write(model):
        gradients(model)
        getattr(torch.optim, kind)(model.parameters(), lr=1e-2, **options).step()

    return write


def moving_average(model):
    """As mmengine's hook does around a validation: exchanged through ``.data``."""
    hook = EMAHook()
    hook.src_model = model
    hook.ema_model = ExponentialMovingAverage(copy.deepcopy(model))
    for parameter in hook.ema_model.module.parameters():
        parameter.data.mul_(1.1)
    hook._swap_ema_parameters()


def other_weights(model):
    weights = model.state_dict().items()
    return {k: w * 1.1 if w.is_floating_point() else w.clone() for k, w in weights}


@torch.no_grad()
def by_hand(model):
    for parameter in model.parameters():
        parameter.mul_(1.1)


@torch.inference_mode()
def by_hand_in_inference_mode(model):
    by_hand(model)


def through_data(model):
    for parameter in model.parameters():
        parameter.data.mul_(1.1)


WRITES = {
    'fused AdamW': optimiser('AdamW', fused=True),
    'fused SGD': optimiser('SGD', fused=True),
    'foreach AdamW': optimiser('AdamW', foreach=True),
    'plain AdamW': optimiser('AdamW', foreach=False),
    'moving average': moving_average,
    'load_state_dict': lambda model: model.load_state_dict(other_weights(model)),
    'load_state_dict of assigned': lambda model: model.load_state_dict(
        other_weights(model), assign=True
    ),
    "mmengine's load_state_dict": lambda model: load_state_dict(model, other_weights(model)),
    'no_grad': by_hand,
    'inference mode': by_hand_in_inference_mode,
    'through .data': through_data,
}


def prepared(model):
    prepare_for_inference(model, fuse_bn=False)
    return model


@pytest.mark.parametrize('prepare', [lambda model: model, prepared], ids=['plain', 'prepared'])
@pytest.mark.parametrize('write', WRITES.values(), ids=WRITES)
def test_the_second_validation_is_of_the_new_weights(write, prepare):
    model = prepare(build())
    before = validate(model)
    write(model)
    after = validate(model)
    fresh = build()
    fresh.load_state_dict(model.state_dict())
    expected = validate(prepare(fresh))
    assert not torch.allclose(before[0], expected[0], atol=1e-3)
    for found, wanted in zip(after, expected, strict=True):
        assert torch.equal(found, wanted)


@pytest.mark.parametrize('write', WRITES.values(), ids=WRITES)
def test_the_next_video_is_of_the_new_weights_in_whatever_mode(write):
    """Who writes to a model that is tested need not set its mode."""
    model = prepared(build())
    validate(model)
    write(model)
    model.training = False  # optimiser() has set the mode
    for module in model.modules():
        module.training = False
    after = watch(model)
    fresh = build()
    fresh.load_state_dict(model.state_dict())
    for found, wanted in zip(after, validate(prepared(fresh)), strict=True):
        assert torch.equal(found, wanted)


def test_a_fused_step_is_seen_without_mode_or_video():
    """A network on its own, trained in the mode of testing: a pass with gradients ends all."""
    model = prepared(build())
    detector = model.eval().detector
    images, samples = torch.randn(1, 3, 64, 96), [frame_sample(SHAPE)]
    with torch.no_grad():
        detector.query_states(images, samples)
    detector.query_states(images, samples).states.square().sum().backward()
    torch.optim.AdamW(detector.parameters(), lr=1e-2, fused=True).step()
    fresh = build()
    fresh.load_state_dict(model.state_dict())
    with torch.no_grad():
        found = detector.query_states(images, samples)
        expected = prepared(fresh).eval().detector.query_states(images, samples)
    assert torch.equal(found.states, expected.states)


def test_something_is_kept_at_all():
    """Otherwise the tests above say nothing."""
    model = prepared(build())
    validate(model)
    keeping = [m for m in model.modules() if '_kept_from_weights' in m.__dict__]
    assert len(keeping) > 20
