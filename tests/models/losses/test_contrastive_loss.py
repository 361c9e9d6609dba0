import pytest
import torch

from mmvis_cl.models import AuxiliaryCosineLoss, LogSumExpContrastiveLoss

contrastive_loss = LogSumExpContrastiveLoss()
auxiliary_cosine_loss = AuxiliaryCosineLoss()  # ten negatives a positive


def masks(*rows):
    return torch.tensor(rows, dtype=torch.bool)


def test_contrastive_loss_is_the_double_sum():
    torch.manual_seed(0)
    similarity = torch.randn(2, 6, requires_grad=True)
    positive = masks([1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 0])
    negative = masks([0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0])
    loss = contrastive_loss(similarity, positive, negative)
    for i in range(2):
        total = 1 + sum(
            torch.exp(similarity[i, n] - similarity[i, p])
            for p in positive[i].nonzero()[:, 0]
            for n in negative[i].nonzero()[:, 0]
        )
        torch.testing.assert_close(loss[i], total.log())
    loss.sum().backward()
    assert (similarity.grad[positive] < 0).all()  # a gradient step raises these ...
    assert (similarity.grad[negative] > 0).all()  # ... and lowers these
    assert (similarity.grad[~positive & ~negative] == 0).all()


def test_contrastive_loss_of_large_similarities_is_finite():
    similarity = torch.tensor([[-500.0, 500.0]], requires_grad=True)
    loss = contrastive_loss(similarity, masks([1, 0]), masks([0, 1]))
    loss.sum().backward()
    assert loss.item() == pytest.approx(1000)
    assert similarity.grad.isfinite().all()


@pytest.mark.parametrize('positive, negative', [([0, 0], [1, 1]), ([1, 1], [0, 0])])
def test_contrastive_loss_without_positives_or_negatives(positive, negative):
    similarity = torch.randn(1, 2, requires_grad=True)
    with torch.autograd.set_detect_anomaly(True):  # no nan on the way to the gradient either
        loss = contrastive_loss(similarity, masks(positive), masks(negative))
        loss.sum().backward()
    assert loss.item() == 0
    assert (similarity.grad == 0).all()


@pytest.mark.parametrize(
    'num_positive, num_negative, drawn', [(1, 50, 10), (3, 50, 30), (3, 7, 7), (0, 50, 10)]
)
def test_auxiliary_loss_draws_ten_negatives_per_positive(num_positive, num_negative, drawn):
    """With cosine 0 at positives and 1 at negatives every term is 1; else the share tells."""
    torch.manual_seed(0)
    positive = torch.zeros(1, 60, dtype=torch.bool)
    negative = positive.clone()
    positive[0, :num_positive] = True
    negative[0, 10 : 10 + num_negative] = True
    cosine = torch.where(negative, 1.0, 1.0)  # positives contribute 0, drawn negatives 1 each
    loss = auxiliary_cosine_loss(cosine, positive, negative)
    assert loss.item() == pytest.approx(drawn / (drawn + num_positive))


def test_auxiliary_loss_is_the_mean_squared_error_of_the_cosines():
    """Few negatives, of which all are used; also none, and nothing at all."""
    cosine = torch.tensor([[0.5, -0.5, 0.25, 0.9], [0.5, 0.9, 0.9, 0.9], [0.9, 0.9, 0.9, 0.9]])
    positive = masks([1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0])
    negative = masks([0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0])
    loss = auxiliary_cosine_loss(cosine, positive, negative)
    expected = torch.tensor([(0.5**2 + 1.5**2 + 0.25**2) / 3, 0.5**2, 0])
    torch.testing.assert_close(loss, expected)


def test_auxiliary_loss_draws_uniformly():
    torch.manual_seed(0)
    negative = torch.ones(20000, 20, dtype=torch.bool)
    cosine = torch.zeros(20000, 20)
    cosine[:, 3] = 1  # drawn in 10 of 20 cases, then a tenth of the mean
    loss = auxiliary_cosine_loss(cosine, ~negative, negative)
    assert loss.mean().item() == pytest.approx(0.05, abs=0.002)


def test_weights():
    similarity, positive, negative = torch.randn(1, 4), masks([1, 0, 0, 0]), masks([0, 1, 1, 1])
    for loss, weighted in (
        (contrastive_loss, LogSumExpContrastiveLoss(loss_weight=2.0)),
        (auxiliary_cosine_loss, AuxiliaryCosineLoss(loss_weight=2.0)),
    ):
        args = (similarity, positive, negative)
        torch.testing.assert_close(weighted(*args), 2 * loss(*args))
