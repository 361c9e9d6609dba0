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


def on_a_grid(case):
    """Centres and borders of boxes often at the same place, and some objects far from all."""
    logits, predicted, labels, truth = case
    steps = torch.tensor([64.0, 64, 16, 16])  # a centre square reaches 5 steps of a 64th
    return logits, (predicted * steps).round() / steps, labels, (truth * steps).round() / steps


def of_certain_classes(case):
    """Probabilities that are 0 and 1 in float32."""
    logits, *others = case
    return 100 * logits, *others


@pytest.mark.parametrize('kind', [tuple, on_a_grid, of_certain_classes])
def test_cost_is_the_definition(kind):
    logits, predicted, labels, truth = kind(random_case(0))
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


@pytest.mark.parametrize('side', [(-0.07, 0), (0.07, 0), (0, -0.07), (0, 0.07)])
def test_beside_a_thin_object_is_outside_of_it(side):
    """Near its centre, but on each of its four sides not in its box."""
    size = [0.1, 0.6] if side[0] else [0.6, 0.1]
    truth = boxes([0.5, 0.5, *size])
    predicted = boxes([0.5, 0.5, *size], [0.5 + side[0], 0.5 + side[1], *size])[None]
    cost, _ = OTAAssigner(giou_weight=0.0).cost(
        torch.zeros(1, 2, 1), predicted, torch.tensor([0]), truth
    )
    torch.testing.assert_close(cost[0, 1] - cost[0, 0], torch.tensor([100.0]))


def match_by_hand(cost, iou, topk):
    """The object of each query, one after the other: cost and IoU (Q, n) to (Q,)."""
    num_queries, n = cost.shape
    taken = torch.zeros(num_queries, n, dtype=torch.bool)
    for j in range(n):
        k = max(1, int(iou[:, j].sort(descending=True).values[:topk].sum()))
        taken[cost[:, j].argsort()[:k], j] = True
    for i in range(num_queries):
        if taken[i].sum() > 1:
            taken[i] = torch.arange(n) == cost[i].argmin()
    while not taken.any(0).all():
        available = ~taken.any(1)
        if not available.any():  # those of objects that have several
            available = taken[:, taken.sum(0) > 1].any(1)
        wanted = {}
        for j in (~taken.any(0)).nonzero()[:, 0].tolist():
            i = cost[:, j].masked_fill(~available, torch.inf).argmin().item()
            wanted.setdefault(i, []).append(j)
        for i, objects in wanted.items():
            taken[i] = torch.arange(n) == min(objects, key=lambda j: cost[i, j])
    return torch.where(taken.any(1), taken.int().argmax(1), -1)


@pytest.mark.parametrize('num_queries', [8, 9, 12, 40])
@pytest.mark.parametrize('topk', [1, 100])
def test_crowds_are_matched_one_after_the_other(num_queries, topk):
    assigner = OTAAssigner(candidate_topk=topk)
    for seed in range(30):
        logits, predicted, labels, truth = random_case(seed, num_queries, num_objects=8)
        truth[:, :2] = 0.45 + 0.1 * truth[:, :2]
        predicted[..., :2] = 0.4 + 0.2 * predicted[..., :2]
        cost, iou = assigner.cost(logits, predicted, labels, truth)
        match = assigner.assign(logits, predicted, labels, truth)
        for layer in range(2):
            expected = match_by_hand(cost[layer], iou[layer], topk)
            assert match.objects[layer].tolist() == expected.tolist()


def test_an_object_that_hardly_any_query_overlaps_takes_one():
    truth = boxes([0.5, 0.5, 0.2, 0.2])
    predicted = boxes([0.1, 0.1, 0.1, 0.1], [0.42, 0.42, 0.2, 0.2], [0.9, 0.9, 0.1, 0.1])
    match = OTAAssigner().assign(torch.zeros(1, 3, 1), predicted[None], torch.tensor([0]), truth)
    assert match.objects.tolist() == [[-1, 0, -1]]


def test_the_numbers_are_the_methods():
    assigner = OTAAssigner()
    assert (assigner.candidate_topk, assigner.alpha, assigner.gamma) == (10, 0.25, 2)
    assert (assigner.giou_weight, assigner.center_radius) == (3, 2.5 / 32)
    assert (assigner.outside_both_cost, assigner.outside_all_cost) == (100, 10000)


def test_an_object_that_is_not_there_costs_without_end():
    logits, predicted, labels, truth = random_case(5)
    real = torch.tensor([True, True, False])
    cost, iou = OTAAssigner().cost(logits, predicted, labels, truth, real)
    expected_cost, expected_iou = OTAAssigner().cost(logits, predicted, labels[:2], truth[:2])
    assert torch.equal(cost[..., :2], expected_cost) and torch.equal(iou[..., :2], expected_iou)
    assert (cost[..., 2] == torch.inf).all() and (iou[..., 2] == 0).all()


def test_several_queries_per_object_where_many_overlap_it():
    truth = boxes([0.5, 0.5, 0.4, 0.4])
    predicted = truth.repeat(1, 8, 1) + 0.001 * torch.arange(8)[:, None]
    match = OTAAssigner().assign(torch.zeros(1, 8, 1), predicted, torch.tensor([0]), truth)
    assert (match.objects >= 0).sum() == 7  # the sum of eight IoUs just below 1, rounded down


def test_of_equal_queries_the_first_are_taken():
    """Not any of them, so that the same frame always gives the same match."""
    truth = boxes([0.5, 0.5, 0.4, 0.4])
    match = OTAAssigner().assign(
        torch.zeros(1, 300, 1), truth.repeat(1, 300, 1), torch.tensor([0]), truth
    )
    assert match.objects.tolist() == [[0] * 10 + [-1] * 290]
    assert match.best_query.tolist() == [[0]]


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
    images = (torch.stack((x, x), 1) for x in (logits, predicted))
    with pytest.raises(InputError, match=r'3 objects.* 2 queries.*num_queries'):
        OTAAssigner().assign_images(*images, [labels[:1], labels], [truth[:1], truth])


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
