"""Deformable attention for inference: some queries at a time, its projection kept packed."""

from collections.abc import Callable

from torch import Tensor, nn

from mmvis_cl.models.layers.deformable_attention import GatherDeformableAttention

from .kept_weights import KeepsFromWeights, may_keep
from .packed_linear import PackedLinear
from .query_steps import add_in_query_steps

# As fast as all at once, with a quarter of the memory.
QUERIES_PER_STEP = 2048


class FastDeformableAttention(KeepsFromWeights, GatherDeformableAttention):
    """Ours, the same but for rounding."""

    def add_attended(
        self, identity: Tensor, attend: Callable[..., Tensor], *queries: Tensor | None
    ) -> Tensor:
        """``identity + attend(*queries)`` in steps, where no gradient is needed."""
        return add_in_query_steps(identity, attend, QUERIES_PER_STEP, *queries)

    def point_projection(self) -> Callable[[Tensor], Tensor]:
        """The joined layer, made once where the other layers keep their weights packed."""
        if not may_keep() or not isinstance(self.value_proj, PackedLinear):
            self.drop_kept()
            return super().point_projection()
        of = *self.sampling_offsets.parameters(), *self.attention_weights.parameters()
        return self.kept_from(of, self._packed)

    def _packed(self) -> PackedLinear:
        weight, bias = self.joined_projection()
        layer = PackedLinear(*weight.T.shape, device='meta')
        layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
        return layer
