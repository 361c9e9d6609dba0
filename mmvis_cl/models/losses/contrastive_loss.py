"""What pulls the embeddings of an object together, and pushes those of different objects apart."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmvis_cl.registry import MODELS


@MODELS.register_module()
class LogSumExpContrastiveLoss(nn.Module):
    """log(1 + sum over k+ and k- of exp(v.k- - v.k+)), the challenge report's eq. 2.

    The double sum is the product of two sums, so that it needs no (positives x negatives) table.

    Args:
        loss_weight (float): factor on the result.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, similarity: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Loss of each key embedding v.

        Args:
            similarity (Tensor): (n, Q) products of n key embeddings with Q others.
            positive (Tensor): (n, Q) bool, the k+ of each.
            negative (Tensor): (n, Q) bool, the k- of each.

        Returns:
            Tensor: (n,), >= 0; 0 for a row without positives or without negatives.
        """
        valid = positive.any(1) & negative.any(1)
        similarity = similarity.float()  # autocast gives half
        similarity, positive, negative = similarity[valid], positive[valid], negative[valid]
        attract = (-similarity).masked_fill(~positive, -torch.inf).logsumexp(1)
        repel = similarity.masked_fill(~negative, -torch.inf).logsumexp(1)
        loss = self.loss_weight * F.softplus(attract + repel)
        return similarity.new_zeros(len(valid)).masked_scatter(valid, loss)


@MODELS.register_module()
class AuxiliaryCosineLoss(nn.Module):
    """Mean of (cosine - target)^2 over the positives (1) and a random draw of the negatives (0).

    Args:
        negatives_per_positive (int, optional): negatives drawn per positive, without repetition; as
            many as for one positive where there is none, all where there are fewer or if None.
        loss_weight (float): factor on the result.
    """

    def __init__(self, negatives_per_positive: int | None = 10, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.negatives_per_positive = negatives_per_positive
        self.loss_weight = loss_weight

    def forward(self, cosine: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Loss of each key embedding.

        Args:
            cosine (Tensor): (n, Q) cosines of n key embeddings with Q others.
            positive (Tensor): (n, Q) bool.
            negative (Tensor): (n, Q) bool.

        Returns:
            Tensor: (n,), in [0, 4] times ``loss_weight``.
        """
        cosine = cosine.float()
        used = positive | self._drawn(cosine, positive, negative)
        error = (cosine - positive.float()) ** 2
        return self.loss_weight * (error * used).sum(1) / used.sum(1).clamp(min=1)

    def _drawn(self, cosine: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """The negatives that count, (n, Q) bool."""
        if self.negatives_per_positive is None:
            return negative
        wanted = self.negatives_per_positive * positive.sum(1, keepdim=True).clamp(min=1)
        # the rank of a random number among the negatives' random numbers: a uniform draw
        lot = torch.rand_like(cosine).masked_fill(~negative, torch.inf)
        return negative & (lot.argsort(1).argsort(1) < wanted)
