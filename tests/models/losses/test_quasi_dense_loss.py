import pytest
import torch
from mmdet.models.losses import MultiPosCrossEntropyLoss

from mmvis_cl.models import QuasiDenseLogSumExpLoss


@pytest.mark.parametrize('reduction', [None, 'none', 'sum'])
def test_equals_mmdets_loss_and_gradient(reduction):
    torch.manual_seed(0)
    products = 3 * torch.randn(6, 20)
    label = (torch.rand(6, 20) < 0.2).int()
    label[2] = 0  # an object that is not in the other frame: no positives, weight 0
    assert (label.sum(1) > 0).sum() == 5
    weight = (label.sum(1) > 0).float()
    given = dict(weight=weight, reduction_override=reduction)
    if reduction is None:
        given['avg_factor'] = weight.sum()
    results = []
    for loss in (
        QuasiDenseLogSumExpLoss(loss_weight=0.25),
        MultiPosCrossEntropyLoss(loss_weight=0.25),
    ):
        leaf = products.clone().requires_grad_()
        value = loss(leaf, label, **given)
        value.sum().backward()
        results.append((value.detach(), leaf.grad))
    ours, theirs = results
    torch.testing.assert_close(ours[0], theirs[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours[1], theirs[1], atol=1e-5, rtol=1e-5)
    assert ours[0].sum() > 0


def test_no_object_is_in_both_frames():
    loss = QuasiDenseLogSumExpLoss()
    products = torch.randn(3, 5, requires_grad=True)
    weight = torch.zeros(3)
    value = loss(products, torch.zeros(3, 5).int(), weight, avg_factor=weight.sum())
    assert value == 0
    value.backward()
    assert not products.grad.any()


def test_weights_may_be_whole_numbers():
    """As some of mmdet's trackers give them."""
    products = torch.arange(10.0).view(2, 5) / 5
    label = torch.tensor([[1, 0, 0, 0, 0], [0, 1, 0, 0, 0]])
    weights = torch.tensor([1, 0])
    for given in (weights, weights.bool()):
        value = QuasiDenseLogSumExpLoss()(products, label, given, avg_factor=1)
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, QuasiDenseLogSumExpLoss()(products[:1], label[:1]))
