"""The attention for inference gives what the plain one gives, whatever it keeps."""

import copy

import pytest
import torch
from torch import nn

from mmvis_cl.fast import fast_attention
from mmvis_cl.fast.fast_attention import FastDeformableAttention
from mmvis_cl.fast.packed_linear import PackedLinear
from mmvis_cl.models import GatherDeformableAttention

SHAPES = torch.tensor([(9, 14), (5, 7), (3, 4)])
PIXELS = int(SHAPES.prod(1).sum())


@pytest.fixture(params=[False, True], ids=['plain layers', 'packed layers'])
def modules(request):
    torch.manual_seed(0)
    plain = GatherDeformableAttention(
        embed_dims=32, num_heads=4, num_levels=3, dropout=0.0, batch_first=True
    )
    for parameter in plain.parameters():
        nn.init.normal_(parameter, std=0.3)
    fast = copy.deepcopy(plain)
    fast.__class__ = FastDeformableAttention
    if request.param:
        for layer in (fast.value_proj, fast.output_proj):
            layer.__class__ = PackedLinear
    return plain, fast


def inputs(seed=1):
    generator = torch.Generator().manual_seed(seed)
    starts = torch.cat((SHAPES.new_zeros(1), SHAPES.prod(1).cumsum(0)[:-1]))
    return dict(
        query=torch.randn(2, 11, 32, generator=generator),
        value=torch.randn(2, PIXELS, 32, generator=generator),
        query_pos=torch.randn(2, 11, 32, generator=generator),
        reference_points=torch.rand(2, 11, 3, 4, generator=generator),
        spatial_shapes=SHAPES,
        level_start_index=starts,
    )


def assert_same(plain, fast, **given):
    given = given or inputs()
    torch.testing.assert_close(fast(**given), plain(**given), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('step', [1, 4, 11, 100])
def test_in_steps(modules, monkeypatch, step):
    monkeypatch.setattr(fast_attention, 'QUERIES_PER_STEP', step)
    with torch.no_grad():
        assert_same(*modules)


def test_projections_that_are_kept_follow_their_weights(modules):
    plain, fast = modules
    with torch.no_grad():
        assert_same(plain, fast)
        for one, other in zip(plain.parameters(), fast.parameters(), strict=True):
            other.copy_(nn.init.normal_(one, std=0.3))
        assert_same(plain, fast)
    assert fast.state_dict().keys() == plain.state_dict().keys()


def test_gradients_are_those_of_the_plain_one(modules):
    plain, fast = modules
    with torch.no_grad():
        fast(**inputs())  # something is kept
    for module in modules:
        module(**inputs()).square().sum().backward()
    for one, other in zip(plain.parameters(), fast.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, rtol=1e-4, atol=1e-4)


def test_a_copy_keeps_nothing_of_the_first(modules):
    plain, fast = modules
    with torch.no_grad():
        fast(**inputs())
        assert_same(plain, copy.deepcopy(fast))
