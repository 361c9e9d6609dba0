"""ResNets whose bottlenecks are fused give what they gave before."""

import copy

import pytest
import torch
from mmcv.cnn.utils import fuse_conv_bn
from mmdet.models.backbones import ResNet
from release_fixtures import draw_norms

from mmvis_cl.fast.fused_bottleneck import FusedBottleneck, fuse_bottlenecks
from mmvis_cl.fast.onednn import has_inference_ops

pytestmark = pytest.mark.skipif(not has_inference_ops(), reason='this PyTorch has no such ops')


def resnet(**options):
    torch.manual_seed(0)
    net = ResNet(50, base_channels=8, stem_channels=8, **options)
    net.init_weights()
    net.eval()
    draw_norms(net)
    return fuse_conv_bn(net)


def images():
    return torch.randn(2, 3, 70, 90, generator=torch.Generator().manual_seed(0))


def fused_blocks(net):
    return sum(type(m) is FusedBottleneck for m in net.modules())


@pytest.mark.parametrize('channels_last', [False, True])
def test_all_stages_give_the_same(channels_last):
    """Each stage's output is also the next one's input: it must not be written over."""
    net = resnet(out_indices=(0, 1, 2, 3))
    if channels_last:
        net.to(memory_format=torch.channels_last)
    fused = copy.deepcopy(net)
    fuse_bottlenecks(fused)
    assert fused_blocks(fused) == 3 + 4 + 6 + 3
    with torch.no_grad():
        for found, expected in zip(fused(images()), net(images()), strict=True):
            scale = expected.abs().max()
            torch.testing.assert_close(found / scale, expected / scale, atol=5e-6, rtol=0)


def test_with_gradients_it_is_mmdets_block():
    net = resnet()
    fused = copy.deepcopy(net)
    fuse_bottlenecks(fused)
    results = []
    for module in (net, fused):
        x = images().requires_grad_()
        results.append(torch.autograd.grad(module(x)[-1].sum(), x)[0])
    assert torch.equal(*results)


def test_blocks_with_something_in_between_stay():
    """Plugins, and norms that are not in their convolutions."""
    plugin = dict(cfg=dict(type='ContextBlock', ratio=1 / 4), position='after_conv2')
    net = resnet(plugins=[plugin])
    fuse_bottlenecks(net)
    assert fused_blocks(net) == 0
    net = ResNet(50, base_channels=8, stem_channels=8)
    fuse_bottlenecks(net)
    assert fused_blocks(net) == 0
