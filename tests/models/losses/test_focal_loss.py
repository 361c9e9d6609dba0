"""The focal loss, by its formula."""

import torch

from mmvis_cl.models import SigmoidFocalLoss


def test_each_element_is_that_of_the_formula():
    """Equation 5 of "Focal Loss" with the paper's best alpha and gamma, which are the defaults."""
    logits = torch.tensor([[-2.0, 0.5], [3.0, 0.0]])
    targets = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    prob = torch.where(targets > 0, logits.sigmoid(), 1 - logits.sigmoid())
    alpha = torch.where(targets > 0, 0.25, 0.75)
    expected = -alpha * (1 - prob) ** 2 * prob.log()
    torch.testing.assert_close(SigmoidFocalLoss()(logits, targets), expected)
    found = SigmoidFocalLoss(alpha=0.5, gamma=0.0, loss_weight=4.0)(logits, targets)
    torch.testing.assert_close(found, -2 * prob.log())


def test_mmdets_heads_ask_for_the_kind_of_classes():
    assert SigmoidFocalLoss.use_sigmoid is True
