"""A linear layer with packed weights gives what nn.Linear gives."""

import copy
import pickle

import pytest
import torch
from torch import nn

from mmvis_cl.fast.onednn import has_inference_ops
from mmvis_cl.fast.packed_linear import PackedLinear

pytestmark = pytest.mark.skipif(not has_inference_ops(), reason='this PyTorch cannot pack weights')


def pair(bias=True):
    torch.manual_seed(0)
    plain = nn.Linear(24, 40, bias=bias)
    ours = PackedLinear(24, 40, bias=bias)
    ours.load_state_dict(plain.state_dict())
    return plain, ours


def assert_same(plain, ours, x):
    with torch.no_grad():
        found = ours(x)
        torch.testing.assert_close(found, plain(x), atol=1e-6, rtol=1e-5)
    assert '_kept_from_weights' in ours.__dict__
    return found


@pytest.mark.parametrize('bias', [True, False])
@pytest.mark.parametrize('shape', [(1000, 24), (2, 500, 24), (3, 24), (1, 24)])
def test_equals_linear(shape, bias):
    found = assert_same(*pair(bias), torch.randn(shape))
    assert found.is_contiguous()


@pytest.mark.parametrize('grad', [False, True])
def test_with_relu(grad):
    plain, ours = pair()
    ours.relu = True
    x = torch.randn(50, 24)
    with torch.set_grad_enabled(grad):
        torch.testing.assert_close(ours(x), plain(x).relu(), atol=1e-6, rtol=1e-5)
    assert ('_kept_from_weights' in ours.__dict__) == (not grad)


def test_nothing_in_nothing_out():
    with torch.no_grad():
        assert pair()[1](torch.randn(0, 24)).shape == (0, 40)


def test_rows_that_do_not_lie_next_to_each_other():
    assert_same(*pair(), torch.randn(24, 1000).T)
    assert_same(*pair(), torch.randn(2, 1000, 24)[:, 10:500])


def test_weights_that_change_are_packed_again():
    plain, ours = pair()
    x = torch.randn(5, 24)
    assert_same(plain, ours, x)
    nn.init.normal_(plain.weight)
    ours.load_state_dict(plain.state_dict())
    assert_same(plain, ours, x)


def test_can_be_copied_and_saved_after_use():
    plain, ours = pair()
    x = torch.randn(5, 24)
    assert_same(plain, ours, x)
    for twin in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert '_kept_from_weights' not in twin.__dict__
        assert_same(plain, twin, x)


def test_in_inference_mode():
    plain, ours = pair()
    with torch.inference_mode():
        x = torch.randn(5, 24)
        torch.testing.assert_close(ours(x), plain(x), atol=1e-6, rtol=1e-5)
        ours = copy.deepcopy(ours)  # its weights have no version
        torch.testing.assert_close(ours(x), plain(x), atol=1e-6, rtol=1e-5)


def test_bfloat16_is_left_to_pytorch():
    plain, ours = pair()
    x = torch.randn(50, 24)
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(ours(x), plain(x)) and ours(x).dtype == torch.bfloat16
    assert '_kept_from_weights' not in ours.__dict__


def test_gradients():
    plain, ours = pair()
    x = torch.randn(1000, 24)
    grads = [torch.autograd.grad(m(x).square().sum(), list(m.parameters())) for m in (plain, ours)]
    for a, b in zip(*grads, strict=True):
        assert torch.equal(a, b)


def test_what_is_compiled_has_the_plain_product():
    """torch.compile packs weights itself, and fails where an operation of its own is there."""
    plain, ours = pair()
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    x = torch.randn(5, 24)
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(ours, backend=backend)(x), plain(x))
    (graph,) = graphs
    called = [str(node.target) for node in graph.graph.nodes]
    assert any('linear' in name for name in called)
    assert not any('mkldnn' in name for name in called)
