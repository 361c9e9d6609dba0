"""Sigmoid focal loss that needs no compiled op on any device."""

from torch import Tensor, nn
from torchvision.ops import sigmoid_focal_loss

from mmvis_cl.registry import MODELS


@MODELS.register_module()
class SigmoidFocalLoss(nn.Module):
    """Focal loss of sigmoid logits, element by element (Lin et al., "Focal Loss", eq. 5).

    mmdet's own ``FocalLoss`` calls a compiled op on CUDA; this one is torchvision's and runs with
    an op-less mmcv too.

    Args:
        alpha (float): weight of the positive class, in [0, 1].
        gamma (float): how fast easy elements lose weight, >= 0.
        loss_weight (float): factor on the result.
    """

    # mmdet's heads ask for it to size the class branch
    use_sigmoid = True

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha
        self.gamma = gamma
        self.loss_weight = loss_weight

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Weighted loss of every element.

        Args:
            logits (Tensor): any shape.
            targets (Tensor): same shape, values in [0, 1].

        Returns:
            Tensor: same shape, not reduced.
        """
        return self.loss_weight * sigmoid_focal_loss(logits, targets, self.alpha, self.gamma)
