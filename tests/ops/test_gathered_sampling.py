"""Sums of gathered rows: the formula, and points that lie nowhere.

The layer that uses them is compared with mmcv's in tests/models/layers.
"""

import pytest
import torch

from mmvis_cl.ops.gathered_sampling import padded_levels, sample_levels, weighted_row_sums


@pytest.mark.parametrize('together', [1, 3])
def test_sums_and_gradients_are_those_of_the_formula(together):
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(5, 4, generator=generator, requires_grad=True)
    index = torch.randint(5, (7, together), generator=generator)
    weights = torch.randn(7, together, generator=generator, requires_grad=True)
    grad = torch.randn(7, 4, generator=generator)
    found = weighted_row_sums(rows, index.int(), weights)
    expected = (rows[index] * weights[..., None]).sum(1)
    torch.testing.assert_close(found, expected)
    for mine, theirs in zip(
        torch.autograd.grad(found, (rows, weights), grad),
        torch.autograd.grad(expected, (rows, weights), grad),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize('place', [float('nan'), float('inf'), -float('inf'), 1e30, -100.0])
def test_points_that_lie_nowhere_add_nothing(place):
    levels = padded_levels(((3, 5), (2, 2)), torch.device('cpu'))
    rows = torch.zeros(1, levels.length, 1, 4)
    rows[:, levels.pixels] = 1
    inside, outside = torch.ones(1, 6, 1, 2), torch.full((1, 6, 1, 2), place)
    weights = torch.full((1, 6, 1, 2), 0.5)
    assert (sample_levels(rows, levels, inside, inside, weights) == 1).all()
    assert not sample_levels(rows, levels, outside, inside, weights).any()
    assert not sample_levels(rows, levels, inside, outside, weights).any()
