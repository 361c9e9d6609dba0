"""The contrastive loss with the signature of mmdet's losses on similarities."""

from mmdet.models.losses.utils import weight_reduce_loss
from torch import Tensor

from mmvis_cl.registry import MODELS

from .contrastive_loss import LogSumExpContrastiveLoss


@MODELS.register_module()
class QuasiDenseLogSumExpLoss(LogSumExpContrastiveLoss):
    """:class:`LogSumExpContrastiveLoss` for the ``loss_track`` of mmdet's ``QuasiDenseEmbedHead``.

    It has the value of mmdet's ``MultiPosCrossEntropyLoss``. That one makes a table of all pairs of
    a positive and a negative, (n, Q * Q) numbers, several times; this one needs (n, Q).
    """

    def forward(
        self,
        cls_score: Tensor,
        label: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
        **kwargs,
    ) -> Tensor:
        """Loss of n key embeddings.

        Args:
            cls_score (Tensor): (n, Q) products with Q others.
            label (Tensor): (n, Q), 1 for the others of the same object, 0 for those of others.
            weight (Tensor, optional): (n,).
            avg_factor (float, optional): divides the sum, instead of n.
            reduction_override (str, optional): 'none', 'mean' (the default) or 'sum'.
            **kwargs: not used.

        Returns:
            Tensor: a scalar, or (n,) without reduction.
        """
        loss = super().forward(cls_score, label >= 1, label == 0)
        if weight is not None:
            weight = weight.float()
        return weight_reduce_loss(loss, weight, reduction_override or 'mean', avg_factor)
