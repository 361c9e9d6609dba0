import pytest
import torch

from mmvis_cl.models import ContrastiveHead

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
    none = head.loss([embeds], *ref, *([s] for s in pair([1, 5], [7])))
    assert none['loss_embed'].item() == none['loss_embed_aux'].item() == 0
    assert none['loss_embed'].requires_grad


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
