import pytest
import torch

from mmvis_cl.models import ContrastiveHead
from mmvis_cl.models.contrastive_head import auxiliary_cosine_loss, contrastive_loss

from release_fixtures import frame_sample  # isort: skip


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


def test_auxiliary_loss_draws_uniformly():
    torch.manual_seed(0)
    negative = torch.ones(20000, 20, dtype=torch.bool)
    cosine = torch.zeros(20000, 20)
    cosine[:, 3] = 1  # drawn in 10 of 20 cases, then a tenth of the mean
    loss = auxiliary_cosine_loss(cosine, ~negative, negative)
    assert loss.mean().item() == pytest.approx(0.05, abs=0.002)


@pytest.fixture
def head():
    torch.manual_seed(0)
    return ContrastiveHead(embed_dims=16, embed_channels=8)


def test_between_positive_and_negative_lies_neither(head):
    """Queries nearly on the object attract, those that only overlap it are left alone."""
    truth = torch.tensor([[0.5, 0.5, 0.4, 0.4]])
    # 150 queries: the more to the right, the less they overlap
    boxes = truth.repeat(150, 1)
    boxes[:, 0] += torch.linspace(0, 0.45, 150)
    positive, negative = head.select(torch.zeros(150, 1), boxes, torch.tensor([0]), truth)
    assert positive.shape == negative.shape == (1, 150)
    assert not (positive & negative).any()
    num_positive, num_negative = positive.sum().item(), negative.sum().item()
    assert 5 <= num_positive <= 10
    assert num_positive + num_negative < 150
    assert positive[0, :num_positive].all()
    assert negative[0, -num_negative:].all()


def pair(key_ids, ref_ids):
    """Data samples of a key and a reference frame with these identities, all of class 0."""
    samples = []
    for ids in (key_ids, ref_ids):
        # an object's box tells its identity
        x = 10.0 * torch.tensor(ids)
        samples.append(
            frame_sample(
                (100, 100),
                bboxes=torch.stack((x, x, x + 20, x + 20), 1).reshape(-1, 4),
                labels=torch.zeros(len(ids), dtype=torch.long),
                instances_ids=torch.tensor(ids, dtype=torch.long),
            )
        )
    return samples


def test_identities_count_not_positions(head):
    """Reordering the reference frame's objects changes nothing."""
    torch.manual_seed(1)
    ref = torch.randn(1, 30, 8), torch.randn(1, 30, 1), torch.rand(1, 30, 4) * 0.3 + 0.2
    embeds = [torch.randn(3, 8)]
    losses = []
    for ids in ([1, 3, 5], [5, 1, 3]):
        key_sample, ref_sample = pair([1, 3, 5], ids)
        torch.manual_seed(2)
        losses.append(head.loss(embeds, *ref, [key_sample], [ref_sample])['loss_embed'])
    torch.testing.assert_close(losses[0], losses[1])


def test_objects_in_one_frame_only_give_no_term(head):
    torch.manual_seed(1)
    ref = torch.randn(1, 30, 8), torch.randn(1, 30, 1), torch.rand(1, 30, 4) * 0.3 + 0.2
    embeds = torch.randn(2, 8, requires_grad=True)
    both = head.loss([embeds], *ref, *([s] for s in pair([1, 5], [5, 7])))
    both['loss_embed'].backward()
    assert (embeds.grad[0] == 0).all()
    assert (embeds.grad[1] != 0).any()
    none = head.loss([embeds], *ref, *([s] for s in pair([1, 5], [7])))
    assert none['loss_embed'].item() == none['loss_embed_aux'].item() == 0
    assert none['loss_embed'].requires_grad
