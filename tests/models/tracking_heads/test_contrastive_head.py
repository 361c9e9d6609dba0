import pytest
import torch

from mmvis_cl.models import ContrastiveHead, LogSumExpContrastiveLoss

from release_fixtures import frame_sample  # isort: skip


@pytest.fixture
def head():
    torch.manual_seed(0)
    return ContrastiveHead(embed_dims=16, embed_channels=8)


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
    for key_ids, ref_ids in (([1, 5], [7]), ([], [7]), ([], [])):
        # sums of 0 and of nothing must not become nan
        few = torch.zeros(len(key_ids), 8, requires_grad=True)
        others = torch.zeros(1, 30, 8, requires_grad=True)
        samples = pair(key_ids, ref_ids)
        none = head.loss([few], others, *ref[1:], *([s] for s in samples))
        assert none['loss_embed'].item() == none['loss_embed_aux'].item() == 0
        for loss in none.values():
            for grad in torch.autograd.grad(loss, (few, others), retain_graph=True):
                assert (grad == 0).all()


def test_two_pairs_at_once_are_the_mean_over_all_objects(head):
    torch.manual_seed(1)
    ref = torch.randn(2, 30, 8), torch.randn(2, 30, 1), torch.rand(2, 30, 4) * 0.3 + 0.2
    embeds = [torch.randn(3, 8), torch.randn(2, 8)]
    pairs = [pair([1, 3, 5], [5, 3, 1]), pair([2, 4], [4, 2])]
    head.loss_embed_aux.negatives_per_positive = 1000  # nothing is drawn
    both = head.loss(embeds, *ref, *zip(*pairs, strict=True))
    alone = [
        head.loss(embeds[i : i + 1], *(x[i : i + 1] for x in ref), *([s] for s in pairs[i]))
        for i in range(2)
    ]
    for name, value in both.items():
        torch.testing.assert_close(value, (3 * alone[0][name] + 2 * alone[1][name]) / 5)


def test_of_one_object_it_is_the_loss_of_that_object(head):
    """With the weights of the method: 2 for the contrast, 3 for the cosines."""
    torch.manual_seed(1)
    ref = torch.randn(1, 30, 8), torch.randn(1, 30, 1), torch.rand(1, 30, 4) * 0.3 + 0.2
    key_sample, ref_sample = pair([3], [3])
    embeds = torch.randn(1, 8)
    head.loss_embed_aux.negatives_per_positive = 1000  # nothing is drawn
    found = head.loss([embeds], *ref, [key_sample], [ref_sample])
    positive, negative = head.selector.select(
        ref[1][0], ref[2][0], torch.tensor([0]), torch.tensor([[0.4, 0.4, 0.2, 0.2]])
    )
    contrast = LogSumExpContrastiveLoss()(embeds @ ref[0][0].T, positive, negative)
    torch.testing.assert_close(found['loss_embed'], 2 * contrast[0])
    cosine = torch.cosine_similarity(embeds, ref[0][0])
    error = torch.cat(((cosine[positive[0]] - 1) ** 2, cosine[negative[0]] ** 2))
    torch.testing.assert_close(found['loss_embed_aux'], 3 * error.mean())


def test_embeddings_have_the_channels_asked_for(head):
    assert head(torch.zeros(2, 16)).shape == (2, 8)
    assert ContrastiveHead(embed_dims=16)(torch.zeros(2, 16)).shape == (2, 16)
    assert ContrastiveHead()(torch.zeros(2, 256)).shape == (2, 256)


def test_parts_can_be_replaced():
    head = ContrastiveHead(
        embed_dims=16,
        selector=dict(type='mmvis_cl.ReferenceSelector', positive_topk=4),
        loss_embed=dict(type='mmvis_cl.LogSumExpContrastiveLoss', loss_weight=7.0),
        loss_embed_aux=dict(type='mmvis_cl.AuxiliaryCosineLoss', loss_weight=8.0),
    )
    assert head.selector.positive_topk == 4
    assert (head.loss_embed.loss_weight, head.loss_embed_aux.loss_weight) == (7, 8)
