"""The straightforward forms of what is done in training, to compare ours with."""

import copy
from collections.abc import Callable

import torch
from inference import grouped_masks, use_plain_attention
from torch import Tensor, nn
from torch.nn import functional as F

from mmvis_cl.models import ContrastiveVIS
from mmvis_cl.models.dense_heads.query_head import normalized_boxes
from mmvis_cl.models.task_modules.ota_assigner import OTAMatch


def straightforward(model: ContrastiveVIS, fast: list[str]) -> ContrastiveVIS:
    """A copy with the same weights that has only these tricks, in the order of `TRICKS`."""
    model = copy.deepcopy(model)
    detector, embed_head = model.detector, model.embed_head
    if 'attention' not in fast:
        use_plain_attention(model)
    if 'targets' not in fast:
        draw = detector.mask_head if 'masks' in fast else _grouped(detector.mask_head)
        matched = 'matched' in fast
        detector.mask_head.loss = lambda *args: whole_mask_loss(
            detector.mask_head, draw, matched, *args
        )
    if 'contrast' not in fast:
        embed_head.loss = lambda *args: looped_contrastive_loss(embed_head, *args)
    if 'matching' not in fast:
        detector.bbox_head.match = lambda *args: looped_match(detector.bbox_head, *args)
    return model


def _grouped(head: nn.Module) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    def draw(features: Tensor, states: Tensor, centers: Tensor) -> Tensor:
        with torch.autocast(states.device.type, enabled=False):
            return grouped_masks(head, features.float(), states.float(), centers.float())

    return draw


def looped_match(head: nn.Module, logits: Tensor, boxes: Tensor, samples: list) -> list[OTAMatch]:
    """What ``QueryHead.match`` computes, one layer of one image at a time."""
    matches = []
    for i, sample in enumerate(samples):
        layers = [
            head.assigner.assign(
                logits[layer : layer + 1, i],
                boxes[layer : layer + 1, i],
                sample.gt_instances.labels,
                normalized_boxes(sample),
            )
            for layer in range(len(logits))
        ]
        matches.append(OTAMatch(*(torch.cat(parts) for parts in zip(*layers, strict=True))))
    return matches


def whole_mask_loss(
    head: nn.Module,
    draw: Callable[[Tensor, Tensor, Tensor], Tensor],
    matched_only: bool,
    features: Tensor,
    states: Tensor,
    centers: Tensor,
    matches: list[OTAMatch],
    samples: list,
) -> dict[str, Tensor]:
    """What ``DynamicMaskHead.loss`` computes, with whole target masks, layer by layer."""
    stride = head.out_stride
    h, w = (side * head.feat_stride for side in features.shape[-2:])
    losses = {}
    for layer in range(len(states)):
        most = max(len(sample.gt_instances) for sample in samples)
        whole = features.new_zeros((len(samples), most, h, w), dtype=torch.float32)
        for target, sample in zip(whole, samples, strict=True):
            masks = torch.from_numpy(sample.gt_instances.masks.masks).to(target)
            target[: len(masks), : masks.shape[1], : masks.shape[2]] = masks
        logits, targets = [], []
        for i, (match, sample) in enumerate(zip(matches, samples, strict=True)):
            query = (match.objects[layer] >= 0).nonzero()[:, 0]
            drawn = query if matched_only else torch.arange(states.shape[2], device=query.device)
            center = centers[layer, i, drawn] * centers.new_tensor(sample.img_shape[1::-1])
            masks = draw(features[i], states[layer, i, drawn], center)
            logits.append(masks if matched_only else masks[query])
            targets.append(whole[i, match.objects[layer, query]])
        logits = torch.cat(logits).flatten(1)
        targets = torch.cat(targets)[:, stride // 2 :: stride, stride // 2 :: stride].flatten(1)
        count = max(len(logits), 1)
        prefix = '' if layer == len(states) - 1 else f'd{layer}.'
        losses[f'{prefix}loss_mask'] = head.loss_mask(logits, targets).mean(1).sum() / count
        dice = head.loss_dice(logits, targets, reduction_override='none')
        losses[f'{prefix}loss_dice'] = dice.sum() / count
    return losses


def looped_contrastive_loss(
    head: nn.Module,
    key_embeds: list[Tensor],
    ref_embeds: Tensor,
    ref_logits: Tensor,
    ref_boxes: Tensor,
    key_samples: list,
    ref_samples: list,
) -> dict[str, Tensor]:
    """What ``ContrastiveHead.loss`` computes, object by object, with a table of all pairs."""
    selector, contrast, auxiliary = head.selector, [], []
    for i, (key, ref) in enumerate(zip(key_samples, ref_samples, strict=True)):
        same = key.gt_instances.instances_ids[:, None] == ref.gt_instances.instances_ids
        in_key, in_ref = same.nonzero(as_tuple=True)
        narrow, wide = (
            selector.assigner.assign(
                ref_logits[i][None],
                ref_boxes[i][None],
                ref.gt_instances.labels[in_ref],
                normalized_boxes(ref)[in_ref],
                topk,
            ).objects[0]
            for topk in (selector.positive_topk, selector.negative_topk)
        )
        for j, place in enumerate(in_key.tolist()):
            positive, negative = narrow == j, wide != j
            embed = key_embeds[i][place]
            similarity = (ref_embeds[i] * embed).sum(1)
            table = similarity[negative] - similarity[positive][:, None]
            exponents = F.pad(table.flatten(), (1, 0))  # a zero more: the 1 in the logarithm
            contrast.append(head.loss_embed.loss_weight * exponents.logsumexp(0))
            used = positive | negative
            cosine = F.cosine_similarity(ref_embeds[i][used], embed[None])
            error = ((cosine - positive[used].float()) ** 2).mean()
            auxiliary.append(head.loss_embed_aux.loss_weight * error)
    return dict(
        loss_embed=torch.stack(contrast).mean(), loss_embed_aux=torch.stack(auxiliary).mean()
    )
