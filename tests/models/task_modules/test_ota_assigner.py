import pytest
import torch
from torchvision.ops import box_iou, generalized_box_iou

from mmvis_cl.errors import InputError
from mmvis_cl.models import OTAAssigner


def boxes(*rows):
    return torch.tensor(rows)


def random_case(seed, num_queries=20, num_objects=3, num_layers=2):
    g = torch.Generator().manual_seed(seed)

    def rand(*shape):
        return torch.rand(shape, generator=g)

    predicted = torch.cat(
        (rand(num_layers, num_queries, 2), 0.2 + 0.3 * rand(2, num_queries, 2)), 2
    )
    truth = torch.cat((0.3 + 0.4 * rand(num_objects, 2), 0.1 + 0.3 * rand(num_objects, 2)), 1)
    labels = torch.randint(0, 4, (num_objects,), generator=g)
    return 2 * rand(num_layers, num_queries, 4) - 1, predicted, labels, truth


def xyxy(box):
    cx, cy, w, h = box
    return torch.stack((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2))


def cost_by_hand(logits, box, label, truth, all_truth):
    """The cost of one query for one object, straight from the definition."""
    p = logits[label].sigmoid()
    cost = 0.25 * (1 - p) ** 2 * -torch.log(p + 1e-8) - 0.75 * p**2 * -torch.log(1 - p + 1e-8)
    cost = cost - 3 * generalized_box_iou(xyxy(box)[None], xyxy(truth)[None])[0, 0]

    def inside(gt):
        return ((xyxy(gt)[:2] < box[:2]) & (box[:2] < xyxy(gt)[2:])).all()

    def near(gt):
        return ((box[:2] - gt[:2]).abs() < 2.5 / 32).all()

    if not (inside(truth) and near(truth)):
        cost = cost + 100
    if not any(inside(gt) or near(gt) for gt in all_truth):
        cost = cost + 10000
    return cost


def test_cost_is_the_definition():
    logits, predicted, labels, truth = random_case(0)
    cost, iou = OTAAssigner().cost(logits, predicted, labels, truth)
    for layer in range(2):
        for i in range(20):
            for j in range(3):
                expected = cost_by_hand(
                    logits[layer, i], predicted[layer, i], labels[j], truth[j], truth
                )
                torch.testing.assert_close(cost[layer, i, j], expected)
                expected = box_iou(xyxy(predicted[layer, i])[None], xyxy(truth[j])[None])[0, 0]
                torch.testing.assert_close(iou[layer, i, j], expected)


def test_one_object_takes_its_k_cheapest_queries():
    logits, predicted, labels, truth = random_case(1, num_objects=1)
    assigner = OTAAssigner(candidate_topk=5)
    cost, iou = assigner.cost(logits, predicted, labels, truth)
    match = assigner.assign(logits, predicted, labels, truth)
    for layer in range(2):
        k = max(1, int(iou[layer, :, 0].sort(descending=True).values[:5].sum()))
        cheapest = cost[layer, :, 0].argsort()[:k]
        assert set(cheapest.tolist()) == set(match.objects[layer].eq(0).nonzero()[:, 0].tolist())
        assert match.best_query[layer, 0] == cheapest[0]


def test_several_queries_per_object_where_many_overlap_it():
    truth = boxes([0.5, 0.5, 0.4, 0.4])
    predicted = truth.repeat(1, 8, 1) + 0.001 * torch.arange(8)[:, None]
    match = OTAAssigner().assign(torch.zeros(1, 8, 1), predicted, torch.tensor([0]), truth)
    assert (match.objects >= 0).sum() == 7  # the sum of eight IoUs just below 1, rounded down


@pytest.mark.parametrize('num_queries', [8, 9, 12, 40])
def test_every_object_gets_a_query_of_its_own(num_queries):
    """Also where all queries are taken and objects crowd."""
    for seed in range(60):
        logits, predicted, labels, truth = random_case(seed, num_queries, num_objects=8)
        truth[:, :2] = 0.45 + 0.1 * truth[:, :2]
        predicted[..., :2] = 0.4 + 0.2 * predicted[..., :2]
        match = OTAAssigner().assign(logits, predicted, labels, truth, candidate_topk=100)
        for objects, best in zip(match.objects, match.best_query, strict=True):
            assert set(range(8)) <= set(objects.tolist())
            assert torch.equal(objects[best], torch.arange(8))


def test_layers_do_not_influence_each_other():
    logits, predicted, labels, truth = random_case(2)
    both = OTAAssigner().assign(logits, predicted, labels, truth)
    for layer in range(2):
        one = OTAAssigner().assign(logits[layer : layer + 1], predicted[[layer]], labels, truth)
        assert torch.equal(one.objects[0], both.objects[layer])


def test_images_together_are_matched_as_each_alone():
    """Also one without objects, and with several numbers of candidates at once."""
    counts = (5, 0, 8, 1)
    cases = [
        random_case(10 + i, num_queries=12, num_objects=max(n, 1)) for i, n in enumerate(counts)
    ]
    logits, predicted = (torch.stack(parts, 1) for parts in list(zip(*cases, strict=True))[:2])
    labels = [case[2][:n] for case, n in zip(cases, counts, strict=True)]
    truth = [case[3][:n] for case, n in zip(cases, counts, strict=True)]
    assigner = OTAAssigner()
    together = assigner.assign_images(logits, predicted, labels, truth, (3, 100))
    for i, match in enumerate(together):
        for j, topk in enumerate((3, 100)):
            alone = assigner.assign(logits[:, i], predicted[:, i], labels[i], truth[i], topk)
            assert torch.equal(match.objects[2 * j : 2 * j + 2], alone.objects)
            assert torch.equal(match.best_query[2 * j : 2 * j + 2], alone.best_query)
    none = assigner.assign_images(logits[:, 1:2], predicted[:, 1:2], labels[1:2], truth[1:2])
    assert (none[0].objects == -1).all()


def test_no_object():
    logits, predicted, labels, truth = random_case(3)
    match = OTAAssigner().assign(logits, predicted, labels[:0], truth[:0])
    assert (match.objects == -1).all()
    assert match.best_query.shape == (2, 0)


def test_more_objects_than_queries_is_a_clear_error():
    logits, predicted, labels, truth = random_case(4, num_queries=2)
    with pytest.raises(InputError, match=r'3 objects.* 2 queries.*num_queries'):
        OTAAssigner().assign(logits, predicted, labels, truth)


def test_a_query_that_one_object_took_stays_with_it(monkeypatch):
    """Also where another object, which has a better one, would be cheaper."""
    assigner = OTAAssigner()
    cost = torch.tensor([[3.0, 2.0], [5.0, 1.0], [6.0, 7.0], [7.0, 8.0]])[None, None]
    monkeypatch.setattr(assigner, 'cost', lambda *args: (cost, torch.zeros(1, 1, 4, 2)))
    (match,) = assigner.assign_images(
        torch.zeros(1, 1, 4, 3),
        torch.zeros(1, 1, 4, 4),
        [torch.tensor([0, 1])],
        [torch.zeros(2, 4)],
    )
    assert match.objects.tolist() == [[0, 1, -1, -1]]
    assert match.best_query.tolist() == [[0, 1]]
