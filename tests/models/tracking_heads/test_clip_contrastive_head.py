"""The rules of a clip's anchors, against a plain computation one anchor at a time."""

import math

import pytest
import torch
from torch.nn.functional import cosine_similarity

from mmvis_cl.models import AuxiliaryCosineLoss, ClipContrastiveHead
from mmvis_cl.models.task_modules.clip_objects import ClipQueries

Q, E = 6, 4


def queries_of(best, also=()):
    """Of a table frame by object; ``also`` are (frame, object, query) that learn it too."""
    best = torch.tensor(best)
    own = best[..., None] == torch.arange(Q)
    for place in also:
        own[place] = True
    return ClipQueries(best, own)


@pytest.fixture
def head():
    torch.manual_seed(0)
    head = ClipContrastiveHead(
        embed_dims=8,
        embed_channels=E,
        loss_embed=dict(type='mmvis_cl.LogSumExpContrastiveLoss', loss_weight=1.0),
        loss_embed_aux=dict(
            type='mmvis_cl.AuxiliaryCosineLoss', negatives_per_positive=None, loss_weight=1.0
        ),
    )
    return head


def embeddings(length, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, length, Q, E, generator=generator)


def value(anchor, positive, negatives):
    total = sum(math.exp(float(anchor @ n - anchor @ positive)) for n in negatives)
    cosines = [float(cosine_similarity(anchor, x, 0)) for x in (positive, *negatives)]
    errors = [(cosines[0] - 1) ** 2] + [c**2 for c in cosines[1:]]
    return math.log1p(total), sum(errors) / len(errors)


def expected(*items):
    values = [value(*item) for item in items]
    return [sum(part) / len(items) for part in zip(*values, strict=True)]


def losses(head, embeds, queries):
    found = head.loss_of_clips(embeds, [queries])
    return [found['loss_embed'].item(), found['loss_embed_aux'].item()]


@pytest.mark.parametrize('coin', [0.4, 0.6])
def test_memory_or_newest_embedding(head, coin, monkeypatch):
    embeds = embeddings(3)
    e = embeds[0]
    monkeypatch.setattr(head, 'coins', lambda stored, seen: torch.full(seen.shape, coin))
    found = losses(head, embeds, queries_of([[0], [2], [5]]))
    a, b, c = e[0, 0], e[1, 2], e[2, 5]
    share = max(0.0, float(cosine_similarity(a, b, 0)))
    memory = (1 - share) * a + share * b
    negatives = [[e[0, q] for q in range(Q) if q != 0], [e[1, q] for q in range(Q) if q != 2]]
    wanted = expected((b, a, negatives[0]), (c, memory if coin > 0.5 else b, negatives[1]))
    assert found == pytest.approx(wanted, rel=1e-5)


def test_first_seen_later_looks_ahead_and_a_gap_is_bridged(head, monkeypatch):
    """Object 0 is there in frames 1 and 3, object 1 in frame 2 alone."""
    embeds = embeddings(4)
    e = embeds[0]
    monkeypatch.setattr(head, 'coins', lambda stored, seen: torch.zeros(seen.shape))
    table = [[-1, -1], [3, -1], [-1, 1], [4, -1]]
    first = (e[1, 3], e[3, 4], list(e[0]))
    second = (e[3, 4], e[1, 3], list(e[2]))  # all of the frame before, where it is not to be seen
    assert losses(head, embeds, queries_of(table)) == pytest.approx(
        expected(first, second), rel=1e-5
    )
    # it is missing once after frame 1: the release leaves this anchor out
    head.release_quirk = True
    assert losses(head, embeds, queries_of(table)) == pytest.approx(expected(second), rel=1e-5)


def test_other_queries_of_the_same_object_are_no_negatives(head, monkeypatch):
    embeds = embeddings(2)
    e = embeds[0]
    monkeypatch.setattr(head, 'coins', lambda stored, seen: torch.zeros(seen.shape))
    found = losses(head, embeds, queries_of([[0], [1]], also=[(0, 0, 4)]))
    negatives = [e[0, q] for q in (1, 2, 3, 5)]
    assert found == pytest.approx(expected((e[1, 1], e[0, 0], negatives)), rel=1e-5)


def test_the_mean_is_over_the_anchors_of_all_clips(head, monkeypatch):
    monkeypatch.setattr(head, 'coins', lambda stored, seen: torch.zeros(seen.shape))
    one, other = queries_of([[0, 1], [2, 3]]), queries_of([[5, -1], [4, -1]])
    embeds = torch.cat((embeddings(2), embeddings(2, seed=2)))
    both = head.loss_of_clips(embeds, [one, other])
    for key in ('loss_embed', 'loss_embed_aux'):
        alone = [
            head.loss_of_clips(embeds[i : i + 1], [of])[key] for i, of in enumerate((one, other))
        ]
        torch.testing.assert_close(both[key], (2 * alone[0] + alone[1]) / 3)


def test_no_anchor_is_zero_with_a_gradient(head):
    embeds = embeddings(2).requires_grad_()
    found = head.loss_of_clips(embeds, [queries_of([[0, -1], [-1, 2]])])
    assert found['loss_embed'] == 0 and found['loss_embed_aux'] == 0
    sum(found.values()).backward()
    assert embeds.grad.abs().sum() == 0
    nothing = ClipQueries(torch.zeros(2, 0).long(), torch.zeros(2, 0, Q).bool())
    assert head.loss_of_clips(embeds, [nothing])['loss_embed'] == 0


def test_gradients_reach_all_frames_through_the_memory(head, monkeypatch):
    embeds = (embeddings(4).abs() + 0.1).requires_grad_()  # all cosines above 0
    monkeypatch.setattr(head, 'coins', lambda stored, seen: torch.ones(seen.shape))
    loss = head.loss_of_clips(embeds, [queries_of([[0], [-1], [2], [3]])])['loss_embed']
    loss.backward()
    assert all(embeds.grad[0, t, q].abs().sum() > 0 for t, q in ((0, 0), (2, 2), (3, 3)))


def test_coins_are_fair_and_only_drawn_where_asked(head):
    torch.manual_seed(0)
    seen = torch.tensor([[1, 0, 1], [1, 0, 0], [1, 1, 1]]).bool()
    asked = torch.tensor([[0, 0, 0], [1, 0, 0], [1, 0, 1]]).bool()
    drawn = torch.stack([head.coins(seen, seen) for _ in range(2000)])
    assert (drawn[:, ~asked] == 0).all()
    share = (drawn[:, asked] > 0.5).float().mean(0)
    assert (abs(share - 0.5) < 0.06).all()


def test_noise_is_remembered_as_the_object(head, monkeypatch):
    """Seen in frames 0 and 2; in frame 1 a random embedding takes its place in the memory."""
    embeds = embeddings(3)
    e = embeds[0]
    monkeypatch.setattr(head, 'coins', lambda stored, seen: torch.zeros(seen.shape))
    head.noise_prob = 1.0
    found = set()
    for seed in range(30):
        torch.manual_seed(seed)
        found.add(round(losses(head, embeds, queries_of([[0], [-1], [3]]))[0], 4))
    wanted = {round(expected((e[2, 3], e[1, q], list(e[1])))[0], 4) for q in range(Q)}
    assert len(wanted) == Q and found == wanted


def test_all_negatives_count_where_none_are_drawn():
    loss = AuxiliaryCosineLoss(negatives_per_positive=None)
    cosine = torch.tensor([[0.5, 0.2, -0.4, 0.9]])
    positive = torch.tensor([[True, False, False, False]])
    negative = torch.tensor([[False, True, True, False]])
    assert loss(cosine, positive, negative).item() == pytest.approx((0.25 + 0.04 + 0.16) / 3)
