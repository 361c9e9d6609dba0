"""What the transformer is told of the frames' sizes, kept for the next frames of the same sizes.

Padding masks, positional encodings and reference points: 10 ms a frame of 480x854 on two cores of
an AMD EPYC, and 169 operations, some of which wait for the device where that is a GPU. Nothing that
is kept rests on weights, so that it stays right whatever happens to them.
"""

from functools import cached_property
from types import SimpleNamespace

import torch
from mmdet.models.detectors import DeformableDETR
from mmdet.structures import SampleList
from torch import Tensor

from mmvis_cl.models.detectors.deformable_detr import MaskDeformableDETR
from mmvis_cl.models.layers.deformable_transformer import DeformableEncoder

# The sizes of an image tested at several scales, or mirrored; each keeps 20 MB at 480x854.
SIZES_KEPT = 4


class KeptGeometryDETR(MaskDeformableDETR):
    """The image network with masks and positional encodings of the sizes it has had."""

    def kept_geometry(self) -> list:
        """All that is kept now."""
        return [*self._kept.values(), *self.encoder._kept]

    @cached_property
    def _kept(self) -> dict:
        return {}

    def pre_transformer(
        self, mlvl_feats: tuple[Tensor], batch_data_samples: SampleList
    ) -> tuple[dict, dict]:
        """What encoder and decoder are given.

        Args:
            mlvl_feats (tuple[Tensor]): the neck's maps, each (B, C, h, w).
            batch_data_samples (list[DetDataSample]): B samples with ``img_shape`` and
                ``batch_input_shape``.

        Returns:
            tuple[dict, dict]: arguments of ``forward_encoder`` and ``forward_decoder``.
        """
        if torch.is_grad_enabled():
            return super().pre_transformer(mlvl_feats, batch_data_samples)
        first = mlvl_feats[0]
        key = (
            tuple(feat.shape for feat in mlvl_feats),
            *(batch_data_samples[0].batch_input_shape, first.dtype, first.device),
            *(tuple(sample.img_shape[:2]) for sample in batch_data_samples),
        )
        if key not in self._kept:
            # mmdet's own method, with nothing learned in it: level_embed is added for each frame
            geometry = SimpleNamespace(
                positional_encoding=self.positional_encoding,
                get_valid_ratio=self.get_valid_ratio,
                level_embed=torch.zeros_like(self.level_embed),
            )
            of_encoder, of_decoder = DeformableDETR.pre_transformer(
                geometry, mlvl_feats, batch_data_samples
            )
            del of_encoder['feat']
            levels = [torch.full((f[0, 0].numel(),), i) for i, f in enumerate(mlvl_feats)]
            of_encoder['level'] = torch.cat(levels).to(first.device)
            if len(self._kept) >= SIZES_KEPT:
                del self._kept[next(iter(self._kept))]  # the oldest one
            self._kept[key] = of_encoder, of_decoder
        of_encoder, of_decoder = map(dict, self._kept[key])
        feat = torch.cat([feat.flatten(2).transpose(1, 2) for feat in mlvl_feats], 1)
        feat_pos = of_encoder['feat_pos'] + self.level_embed[of_encoder.pop('level')]
        return dict(of_encoder, feat=feat, feat_pos=feat_pos), of_decoder


class KeptPointsEncoder(DeformableEncoder):
    """Its encoder, with the reference points of the tensors that it was given before."""

    @cached_property
    def _kept(self) -> list:
        return []

    def get_encoder_reference_points(
        self, spatial_shapes: Tensor, valid_ratios: Tensor, device: torch.device | str
    ) -> Tensor:
        """Centres of all pixels over the padded size of each level: (B, P, L, 2) x, y."""
        for shapes, ratios, points in self._kept:
            if shapes is spatial_shapes and ratios is valid_ratios:
                return points
        points = super().get_encoder_reference_points(spatial_shapes, valid_ratios, device)
        if not torch.is_grad_enabled():
            self._kept.append((spatial_shapes, valid_ratios, points))
            del self._kept[:-SIZES_KEPT]
        return points
