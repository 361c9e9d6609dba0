"""A linear layer by way of a convolution gives what nn.Linear gives."""

import pytest
import torch
from torch import nn

from mmvis_cl.models.pointwise_linear import LEAST_ROWS, PointwiseLinear


def pair(bias=True):
    torch.manual_seed(0)
    plain = nn.Linear(24, 40, bias=bias)
    ours = PointwiseLinear(24, 40, bias=bias)
    ours.load_state_dict(plain.state_dict())
    return plain, ours


@pytest.mark.parametrize('bias', [True, False])
@pytest.mark.parametrize('shape', [(LEAST_ROWS, 24), (2, LEAST_ROWS, 24), (3, 24), (0, 24)])
def test_equals_linear(shape, bias):
    plain, ours = pair(bias)
    x = torch.randn(shape)
    with torch.no_grad():
        found = ours(x)
        torch.testing.assert_close(found, plain(x), atol=1e-6, rtol=1e-5)
    assert found.is_contiguous()


def test_rows_that_do_not_lie_next_to_each_other():
    plain, ours = pair()
    x = torch.randn(24, LEAST_ROWS).T
    with torch.no_grad():
        torch.testing.assert_close(ours(x), plain(x), atol=1e-6, rtol=1e-5)


def test_gradients():
    plain, ours = pair()
    x = torch.randn(LEAST_ROWS, 24)
    grads = [torch.autograd.grad(m(x).square().sum(), list(m.parameters())) for m in (plain, ours)]
    for a, b in zip(*grads, strict=True):
        assert torch.equal(a, b)
