"""Embeddings that tell instances apart, learned between two frames."""

import torch
from mmdet.structures import SampleList
from mmengine.model import BaseModule
from torch import Tensor
from torch.nn import functional as F

from mmvis_cl.models.dense_heads.dynamic_mask_head import mlp
from mmvis_cl.models.dense_heads.query_head import normalized_boxes
from mmvis_cl.registry import MODELS, TASK_UTILS


@MODELS.register_module()
class ContrastiveHead(BaseModule):
    """An embedding for each query, learned between a key and a reference frame.

    Args:
        embed_dims (int): channels of the decoder's states.
        embed_channels (int, optional): channels E of the embedding, ``embed_dims`` if not given.
        selector (dict): a :class:`ReferenceSelector`.
        loss_embed (dict): a :class:`LogSumExpContrastiveLoss`.
        loss_embed_aux (dict): an :class:`AuxiliaryCosineLoss`.
        init_cfg (dict, optional): mmengine's initialisation config.
    """

    def __init__(
        self,
        embed_dims: int = 256,
        embed_channels: int | None = None,
        selector: dict | None = None,
        loss_embed: dict | None = None,
        loss_embed_aux: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.embed = mlp(embed_dims, embed_dims, embed_channels or embed_dims)
        self.selector = TASK_UTILS.build(selector or dict(type='mmvis_cl.ReferenceSelector'))
        self.loss_embed = MODELS.build(
            loss_embed or dict(type='mmvis_cl.LogSumExpContrastiveLoss', loss_weight=2.0)
        )
        self.loss_embed_aux = MODELS.build(
            loss_embed_aux or dict(type='mmvis_cl.AuxiliaryCosineLoss', loss_weight=3.0)
        )

    def forward(self, states: Tensor) -> Tensor:
        """Embeddings of query states: (..., C) -> (..., embed_channels), in float32."""
        with torch.autocast(states.device.type, enabled=False):
            return self.embed(states.float())

    def loss(
        self,
        key_embeds: list[Tensor],
        ref_embeds: Tensor,
        ref_logits: Tensor,
        ref_boxes: Tensor,
        key_samples: SampleList,
        ref_samples: SampleList,
    ) -> dict[str, Tensor]:
        """Contrastive and auxiliary loss, averaged over the objects seen in both frames of a pair.

        Objects are told by ``gt_instances.instances_ids``, not by their position.

        Args:
            key_embeds (list[Tensor]): for each pair (n, E), the embedding of the matched query of
                each object of the key frame.
            ref_embeds (Tensor): (B, Q, E) of the reference frames.
            ref_logits (Tensor): (B, Q, K).
            ref_boxes (Tensor): (B, Q, 4).
            key_samples (list[DetDataSample]): B key frames.
            ref_samples (list[DetDataSample]): B reference frames.

        Returns:
            dict[str, Tensor]: ``loss_embed`` and ``loss_embed_aux``; 0 with a gradient where no
            object is seen in both frames.
        """
        pairs = list(zip(key_samples, ref_samples, strict=True))
        # only what the key frame shows is matched in the reference frame
        same = [
            (key.gt_instances.instances_ids[:, None] == ref.gt_instances.instances_ids)
            .nonzero()
            .unbind(1)
            for key, ref in pairs
        ]
        selected = self.selector.select_images(
            ref_logits,
            ref_boxes,
            [ref.gt_instances.labels[i] for (_, ref), (_, i) in zip(pairs, same, strict=True)],
            [normalized_boxes(ref)[i] for (_, ref), (_, i) in zip(pairs, same, strict=True)],
        )
        positive, negative = (torch.cat(masks) for masks in zip(*selected, strict=True))
        similarity, cosine = [], []
        # products of half precision would tell similar embeddings no longer apart
        with torch.autocast(ref_embeds.device.type, enabled=False):
            for embeds, others, (in_key, _) in zip(key_embeds, ref_embeds, same, strict=True):
                embeds, others = embeds[in_key].float(), others.float()
                similarity.append(embeds @ others.T)
                cosine.append(F.normalize(embeds, dim=1) @ F.normalize(others, dim=1).T)
        contrast = self.loss_embed(torch.cat(similarity), positive, negative)
        auxiliary = self.loss_embed_aux(torch.cat(cosine), positive, negative)
        count = max(len(contrast), 1)
        # keeps every embedding in the graph when no object is seen twice
        nothing = 0 * (ref_embeds.sum() + sum(e.sum() for e in key_embeds))
        return dict(
            loss_embed=contrast.sum() / count + nothing,
            loss_embed_aux=auxiliary.sum() / count + nothing,
        )
