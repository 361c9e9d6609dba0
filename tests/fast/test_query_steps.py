"""Queries in steps give what they give at once."""

import pytest
import torch

from mmvis_cl.fast.query_steps import add_in_query_steps


@pytest.mark.parametrize('step', [1, 4, 11, 20])
@pytest.mark.parametrize('second', [None, torch.arange(22.0).view(2, 11, 1)])
def test_steps_change_nothing(step, second):
    first = torch.arange(66.0).view(2, 11, 3)
    asked = []

    def compute(a, b):
        asked.append(a.shape[1])
        return a.square() if b is None else a * b

    with torch.no_grad():
        found = add_in_query_steps(first + 1, compute, step, first, second)
    assert torch.equal(found, first + 1 + (first.square() if second is None else first * second))
    assert max(asked) == min(step, 11) and sum(asked) == 11


def test_with_gradients_there_is_one_step():
    x = torch.arange(66.0).view(2, 11, 3).requires_grad_()
    found = add_in_query_steps(x, torch.square, 4, x)
    assert torch.equal(torch.autograd.grad(found.sum(), x)[0], 1 + 2 * x)


@pytest.mark.parametrize('computed', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('identity', [torch.float32, torch.bfloat16])
def test_the_sum_has_the_wider_type(identity, computed):
    x = torch.ones(1, 5, 2, dtype=identity)
    with torch.no_grad():
        found = add_in_query_steps(x, lambda t: t.to(computed), 2, x)
    assert torch.equal(found, x + x.to(computed)) and found.dtype == (x + x.to(computed)).dtype
