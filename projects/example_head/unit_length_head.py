"""An example of a part of one's own: embeddings of one length."""

from torch import Tensor
from torch.nn import functional as F

from mmvis_cl.models import ContrastiveHead
from mmvis_cl.registry import MODELS


@MODELS.register_module()
class UnitLengthHead(ContrastiveHead):
    """Embeddings whose product is ``scale`` times their cosine.

    Args:
        scale (float): the largest product, > 0.
        **kwargs: of :class:`ContrastiveHead`.
    """

    def __init__(self, scale: float = 16.0, **kwargs) -> None:
        super().__init__(**kwargs)
        self.scale = scale

    def forward(self, states: Tensor) -> Tensor:
        """Embeddings of query states: (..., C) -> (..., embed_channels)."""
        return self.scale**0.5 * F.normalize(super().forward(states), dim=-1)
