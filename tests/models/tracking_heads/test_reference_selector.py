import torch

from mmvis_cl.models import ReferenceSelector


def test_between_positive_and_negative_lies_neither():
    """Queries nearly on the object attract, those that only overlap it are left alone."""
    truth = torch.tensor([[0.5, 0.5, 0.4, 0.4]])
    # 150 queries: the more to the right, the less they overlap
    boxes = truth.repeat(150, 1)
    boxes[:, 0] += torch.linspace(0, 0.45, 150)
    positive, negative = ReferenceSelector().select(
        torch.zeros(150, 1), boxes, torch.tensor([0]), truth
    )
    assert positive.shape == negative.shape == (1, 150)
    assert not (positive & negative).any()
    num_positive, num_negative = positive.sum().item(), negative.sum().item()
    assert 5 <= num_positive <= 10
    assert num_positive + num_negative < 150
    assert positive[0, :num_positive].all()
    assert negative[0, -num_negative:].all()


def test_the_numbers_are_the_reports():
    """10 IoUs for the positives, 100 for the negatives."""
    selector = ReferenceSelector()
    assert (selector.positive_topk, selector.negative_topk) == (10, 100)


def test_the_assigner_can_be_replaced():
    selector = ReferenceSelector(dict(type='mmvis_cl.OTAAssigner', giou_weight=7.0))
    assert selector.assigner.giou_weight == 7
