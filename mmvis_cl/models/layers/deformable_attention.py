"""Multi-scale deformable attention: each query sums values at points that it chooses itself.

From "Deformable DETR" (Zhu et al., 2021), equation 3.
"""

from __future__ import annotations  # the compiler of PyTorch 2.4 cannot read those of `attend`

import functools
from collections.abc import Callable

import torch
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttention
from torch import Tensor
from torch.nn import functional as F

from mmvis_cl.ops.deformable_sums import check_way, clear_rows, deformable_sums
from mmvis_cl.registry import MODELS


@MODELS.register_module()
class GatherDeformableAttention(MultiScaleDeformableAttention):
    """mmcv's module, whose sum is the fastest that :mod:`mmvis_cl.ops` has for the tensors.

    Same parameters, same output but for rounding. The batch comes first.

    Args:
        *args: see mmcv's module.
        way (str): by which of :data:`mmvis_cl.ops.deformable_sums.WAYS` values are summed; 'auto',
            the fastest one that is there.
        **kwargs: see mmcv's module.

    Raises:
        InputError: there is no such way, or it is not there.
    """

    way = 'auto'

    def __init__(self, *args, way: str = 'auto', **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.way = way
        points = self.num_levels * self.num_points
        check_way(way, (self.embed_dims // self.num_heads, self.num_levels, points))

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        identity: Tensor | None = None,
        query_pos: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
        reference_points: Tensor | None = None,
        spatial_shapes: Tensor | None = None,
        level_start_index: Tensor | None = None,
        **kwargs,
    ) -> Tensor:
        """Attend to sampling points around each query's reference.

        Args:
            query (Tensor): (B, Q, C).
            key (Tensor, optional): not used.
            value (Tensor, optional): (B, P, C), the pixels of all levels; the query if None.
            identity (Tensor, optional): (B, Q, C), added to the result; the query if None.
            query_pos (Tensor, optional): (B, Q, C), added to the query.
            key_padding_mask (Tensor, optional): (B, P) bool, True in the padding.
            reference_points (Tensor): (B, Q, L, 2) x, y or (B, Q, L, 4) cx, cy, w, h over the
                padded size.
            spatial_shapes (Tensor): (L, 2) long, h and w of the levels.
            level_start_index (Tensor): (L,) long, the levels' first pixels.
            **kwargs: not used.

        Returns:
            Tensor: (B, Q, C).
        """
        value = query if value is None else value
        identity = query if identity is None else identity
        value = self.value_proj(value)
        if key_padding_mask is not None:
            value = clear_rows(value, key_padding_mask)
        value = value.unflatten(2, (self.num_heads, -1))
        sums = deformable_sums(
            value,
            spatial_shapes,
            level_start_index,
            self.num_points,
            self.im2col_step,
            way=self.way,
        )
        project = self.point_projection()

        def attend(query: Tensor, query_pos: Tensor | None, reference: Tensor) -> Tensor:
            projected = project(query if query_pos is None else query + query_pos)
            summed = sums(projected.unflatten(2, (3, self.num_heads, -1)), reference)
            return self.dropout(self.output_proj(summed))

        return self.add_attended(identity, attend, query, query_pos, reference_points)

    def add_attended(
        self, identity: Tensor, attend: Callable[..., Tensor], *queries: Tensor | None
    ) -> Tensor:
        """``identity + attend(*queries)``, each (B, Q, ...); every query is on its own."""
        return identity + attend(*queries)

    def point_projection(self) -> Callable[[Tensor], Tensor]:
        """From queries (B, Q, C) to (B, Q, 3 * heads * L * K): x, y and weight of each point."""
        weight, bias = self.joined_projection()
        return functools.partial(F.linear, weight=weight, bias=bias)

    def joined_projection(self) -> tuple[Tensor, Tensor]:
        """mmcv's two layers, for offsets and for weights, as one: its weight and its bias."""
        pairs = zip(
            self.sampling_offsets.parameters(), self.attention_weights.parameters(), strict=True
        )
        weight, bias = (
            torch.cat((offset.unflatten(0, (-1, 2)).transpose(0, 1).flatten(0, 1), attention))
            for offset, attention in pairs
        )
        return weight, bias
