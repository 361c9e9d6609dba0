"""Embeddings that tell instances apart, and the contrastive loss between two frames."""

import torch
from mmdet.structures import SampleList
from mmengine.model import BaseModule
from torch import Tensor
from torch.nn import functional as F

from mmvis_cl.registry import MODELS, TASK_UTILS

from .dynamic_mask_head import mlp
from .query_head import normalized_boxes


def contrastive_loss(similarity: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """log(1 + sum over k+ and k- of exp(v.k- - v.k+)), the challenge report's eq. 2.

    The double sum is the product of two sums, so that it needs no (positives x negatives) table.

    Args:
        similarity (Tensor): (n, Q) products of n key embeddings with the reference frame's queries.
        positive (Tensor): (n, Q) bool.
        negative (Tensor): (n, Q) bool.

    Returns:
        Tensor: (n,), >= 0; 0 for a row without positives or without negatives.
    """
    valid = positive.any(1) & negative.any(1)
    similarity = similarity.float()  # autocast gives half
    similarity, positive, negative = similarity[valid], positive[valid], negative[valid]
    attract = (-similarity).masked_fill(~positive, -torch.inf).logsumexp(1)
    repel = similarity.masked_fill(~negative, -torch.inf).logsumexp(1)
    return similarity.new_zeros(len(valid)).masked_scatter(valid, F.softplus(attract + repel))


def auxiliary_cosine_loss(
    cosine: Tensor, positive: Tensor, negative: Tensor, negatives_per_positive: int = 10
) -> Tensor:
    """Mean of (cosine - target)^2 over the positives (1) and a random draw of the negatives (0).

    Args:
        cosine (Tensor): (n, Q) cosine of n key embeddings and the reference frame's queries.
        positive (Tensor): (n, Q) bool.
        negative (Tensor): (n, Q) bool.
        negatives_per_positive (int): negatives drawn per positive, without repetition; as many as
            for one positive where there is none, all where there are fewer.

    Returns:
        Tensor: (n,), in [0, 4].
    """
    wanted = negatives_per_positive * positive.sum(1, keepdim=True).clamp(min=1)
    cosine = cosine.float()
    # the rank of a random number among the negatives' random numbers: a uniform draw
    lot = torch.rand_like(cosine).masked_fill(~negative, torch.inf)
    drawn = negative & (lot.argsort(1).argsort(1) < wanted)
    used = positive | drawn
    error = (cosine - positive.float()) ** 2
    return (error * used).sum(1) / used.sum(1).clamp(min=1)


@MODELS.register_module()
class ContrastiveHead(BaseModule):
    """An embedding for each query, learned between a key and a reference frame.

    Args:
        embed_dims (int): channels of the decoder's states.
        embed_channels (int): channels of the embedding.
        assigner (dict): an :class:`OTAAssigner`, for the reference frame.
        positive_topk (int): the reference queries that the assigner gives an object with k from
            this many IoUs attract it.
        negative_topk (int): those that it does not give the object with k from this many IoUs repel
            it. The ones between the two are neither.
        loss_weight (float): weight of the contrastive loss.
        aux_loss_weight (float): weight of the auxiliary cosine loss.
        init_cfg (dict, optional): mmengine's initialisation config.
    """

    def __init__(
        self,
        embed_dims: int = 256,
        embed_channels: int = 256,
        assigner: dict | None = None,
        positive_topk: int = 10,
        negative_topk: int = 100,
        loss_weight: float = 2.0,
        aux_loss_weight: float = 3.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.embed = mlp(embed_dims, embed_dims, embed_channels)
        self.assigner = TASK_UTILS.build(assigner or dict(type='mmvis_cl.OTAAssigner'))
        self.positive_topk = positive_topk
        self.negative_topk = negative_topk
        self.loss_weight = loss_weight
        self.aux_loss_weight = aux_loss_weight

    def forward(self, states: Tensor) -> Tensor:
        """Embeddings of query states: (..., C) -> (..., embed_channels)."""
        return self.embed(states)

    def select(
        self, logits: Tensor, boxes: Tensor, labels: Tensor, gt_boxes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Which queries of the reference frame attract and which repel each object.

        Args:
            logits (Tensor): (Q, K) of the reference frame.
            boxes (Tensor): (Q, 4) of the reference frame, cx, cy, w, h over its size.
            labels (Tensor): (n,) of the objects.
            gt_boxes (Tensor): (n, 4) of the objects in the reference frame.

        Returns:
            tuple[Tensor, Tensor]: positives and negatives, each (n, Q) bool.
        """
        given = []
        for topk in (self.positive_topk, self.negative_topk):
            match = self.assigner.assign(logits[None], boxes[None], labels, gt_boxes, topk)
            index = torch.arange(len(labels), device=logits.device)
            given.append(match.objects[0] == index[:, None])
        return given[0], ~given[1]

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
        contrast, auxiliary = [], []
        for i, (key, ref) in enumerate(zip(key_samples, ref_samples, strict=True)):
            same = key.gt_instances.instances_ids[:, None] == ref.gt_instances.instances_ids
            in_key, in_ref = same.nonzero(as_tuple=True)
            # only what the key frame shows is matched in the reference frame
            positive, negative = self.select(
                ref_logits[i],
                ref_boxes[i],
                ref.gt_instances.labels[in_ref],
                normalized_boxes(ref)[in_ref],
            )
            embeds = key_embeds[i][in_key]
            contrast.append(contrastive_loss(embeds @ ref_embeds[i].T, positive, negative))
            cosine = F.normalize(embeds, dim=1) @ F.normalize(ref_embeds[i], dim=1).T
            auxiliary.append(auxiliary_cosine_loss(cosine, positive, negative))
        contrast, auxiliary = torch.cat(contrast), torch.cat(auxiliary)
        count = max(len(contrast), 1)
        # keeps every embedding in the graph when no object is seen twice
        nothing = 0 * (ref_embeds.sum() + sum(e.sum() for e in key_embeds))
        return dict(
            loss_embed=self.loss_weight * contrast.sum() / count + nothing,
            loss_embed_aux=self.aux_loss_weight * auxiliary.sum() / count + nothing,
        )
