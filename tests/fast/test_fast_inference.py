"""A model prepared for inference gives what it gave before."""

import copy

import pytest
import torch
from release_fixtures import draw_norms
from small_model import small_model
from torch import nn

from mmvis_cl.errors import InputError
from mmvis_cl.fast.chunked_ffn import ChunkedFFN
from mmvis_cl.fast.fast_attention import FastDeformableAttention
from mmvis_cl.fast.fast_detr import FastDETR
from mmvis_cl.fast.fast_inference import prepare_for_inference
from mmvis_cl.fast.fast_vis import FastVIS
from mmvis_cl.fast.packed_linear import PackedLinear
from mmvis_cl.models import GatherDeformableAttention


def build(backbone=None, in_channels=None):
    def change(cfg):
        if backbone:
            cfg.detector.backbone = backbone
            cfg.detector.neck.in_channels = in_channels

    model = small_model(change)
    draw_norms(model)
    return model.eval()


def outputs(model):
    frames = torch.randn(2, 3, 160, 256, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return model(frames, mode='tensor')


@pytest.fixture(scope='module')
def model():
    return build()


def norms(model):
    return [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]


@pytest.mark.parametrize(
    'options',
    [dict(), dict(fuse_bn=False), dict(convs_channels_last=False), dict(packed_linear=False)],
)
def test_outputs_stay(model, options):
    fast = copy.deepcopy(model)
    prepare_for_inference(fast, **options)
    backbone = fast.detector.backbone
    assert bool(norms(backbone)) == (not options.get('fuse_bn', True))
    kernel = backbone.layer1[0].conv1.weight
    in_last = kernel.is_contiguous(memory_format=torch.channels_last)
    assert in_last == options.get('convs_channels_last', True)
    swapped = any(type(m) is PackedLinear for m in fast.detector.encoder.modules())
    assert swapped == options.get('packed_linear', True)
    expected, found = outputs(model), outputs(fast)
    for key, value in expected.items():
        scale = value.abs().max()
        torch.testing.assert_close(found[key] / scale, value / scale, atol=1e-5, rtol=0)


def test_norms_of_other_backbones_stay():
    """Nobody says that each follows a convolution there."""
    model = build(
        dict(
            type='TimmBackbone',
            model_name='regnetx_002',
            out_indices=(2, 3, 4),
            strides=(8, 16, 32),
        ),
        in_channels=[56, 152, 368],
    )
    before, expected = len(norms(model)), outputs(model)
    prepare_for_inference(model)
    assert len(norms(model)) == before > 0
    for key, value in outputs(model).items():
        scale = value.abs().max()
        torch.testing.assert_close(value / scale, expected[key] / scale, atol=1e-5, rtol=0)


def test_compiled_parts_give_the_same(model, monkeypatch):
    """Traced and run by PyTorch's own operations: to compile them takes minutes."""
    compiled = []
    compile_module = nn.Module.compile

    def traced(module, **kwargs):
        compiled.append(type(module).__name__)
        compile_module(module, backend='aot_eager', **kwargs)

    monkeypatch.setattr(nn.Module, 'compile', traced)
    fast = copy.deepcopy(model)
    prepare_for_inference(fast, compile_network=True)
    assert compiled == ['ResNet', 'ChannelMapper', 'KeptPointsEncoder', 'DeformableDecoder']
    expected, found = outputs(model), outputs(fast)
    for key, value in expected.items():
        scale = value.abs().max()
        torch.testing.assert_close(found[key] / scale, value / scale, atol=1e-5, rtol=0)


def test_without_a_compiler_it_is_said_before_the_first_frame(model, monkeypatch):
    monkeypatch.setenv('CXX', 'no-such-compiler')
    with pytest.raises(InputError, match=r'no C\+\+ compiler \(no-such-compiler\)'):
        prepare_for_inference(copy.deepcopy(model), compile_network=True)


def test_the_plain_model_keeps_nothing_and_names_stay(model):
    """What is fast comes from here alone; a state dict fits both."""
    outputs(model)
    rooms = {type(module).__module__.split('.')[1] for module in model.modules()} & {'fast'}
    kept = [name for name, module in model.named_modules() if '_kept' in ''.join(vars(module))]
    assert not rooms and not kept
    fast = copy.deepcopy(model)
    prepare_for_inference(fast, fuse_bn=False)
    assert fast.state_dict().keys() == model.state_dict().keys()
    kinds = {type(module) for module in fast.modules()}
    assert {FastVIS, FastDETR, FastDeformableAttention, ChunkedFFN, PackedLinear} <= kinds
    prepare_for_inference(fast, fuse_bn=False)  # a second time changes nothing
    assert {type(module) for module in fast.modules()} == kinds


def test_borrowed_attention_is_found_in_other_models():
    layers = nn.Sequential(GatherDeformableAttention(32, num_heads=4), nn.Linear(3, 3))
    prepare_for_inference(layers)
    assert [type(layer) for layer in layers] == [FastDeformableAttention, nn.Linear]
