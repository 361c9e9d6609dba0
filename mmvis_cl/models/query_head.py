"""Class and box branches of every decoder layer, their matching and their losses."""

import torch
from mmdet.models.dense_heads import DeformableDETRHead
from mmdet.structures import SampleList
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_xyxy_to_cxcywh
from mmdet.utils import reduce_mean
from torch import Tensor
from torch.nn import functional as F

from mmvis_cl.registry import MODELS

from .ota_assigner import OTAMatch


def normalized_boxes(sample) -> Tensor:
    """Ground truth boxes of one image as the network predicts them.

    Args:
        sample (DetDataSample): with ``gt_instances.bboxes`` (n, 4) x1 y1 x2 y2 in pixels and
            ``img_shape`` (h, w), the unpadded size.

    Returns:
        Tensor: (n, 4) cx, cy, w, h over the unpadded image size.
    """
    bboxes = sample.gt_instances.bboxes
    bboxes = getattr(bboxes, 'tensor', bboxes)
    h, w = sample.img_shape[:2]
    return bbox_xyxy_to_cxcywh(bboxes) / bboxes.new_tensor([w, h, w, h])


def layer_prefix(layer: int, num_layers: int) -> str:
    """mmdet's prefix for the losses of a decoder layer: 'd0.', 'd1.', ..., '' for the last."""
    return '' if layer == num_layers - 1 else f'd{layer}.'


@MODELS.register_module()
class QueryHead(DeformableDETRHead):
    """Deformable DETR's branches, learned with several queries per object.

    The branches and their initialisation are mmdet's. The matching (``train_cfg.assigner``, an
    :class:`OTAAssigner`) is kept apart from the losses, since masks and embeddings use it as well.
    """

    def match(self, logits: Tensor, boxes: Tensor, samples: SampleList) -> list[OTAMatch]:
        """Match the queries of all layers to the objects of each image.

        Args:
            logits (Tensor): (L, B, Q, K).
            boxes (Tensor): (L, B, Q, 4) cx, cy, w, h over the unpadded image size.
            samples (list[DetDataSample]): B samples with ``gt_instances``.

        Returns:
            list[OTAMatch]: one match an image.
        """
        return [
            self.assigner.assign(
                logits[:, i], boxes[:, i], sample.gt_instances.labels, normalized_boxes(sample)
            )
            for i, sample in enumerate(samples)
        ]

    def loss(
        self, logits: Tensor, boxes: Tensor, matches: list[OTAMatch], samples: SampleList
    ) -> dict[str, Tensor]:
        """Class, L1 and GIoU loss of every layer.

        The class loss is the focal loss summed over queries and classes, the box losses are summed
        over the matched queries; each is divided by the layer's number of matched queries.

        Args:
            logits (Tensor): (L, B, Q, K).
            boxes (Tensor): (L, B, Q, 4) cx, cy, w, h over the unpadded image size.
            matches (list[OTAMatch]): from :meth:`match`.
            samples (list[DetDataSample]): B samples with ``gt_instances``.

        Returns:
            dict[str, Tensor]: ``loss_cls``, ``loss_bbox``, ``loss_iou`` and the same with ``d0.``,
            ``d1.`` ... for the layers before the last. 0 with a gradient where there is no object.
        """
        objects = torch.stack([m.objects for m in matches], 1)  # (L, B, Q)
        matched = objects >= 0
        target_class = torch.zeros_like(logits)
        target_boxes = torch.zeros_like(boxes)
        for i, sample in enumerate(samples):
            layer, query = matched[:, i].nonzero(as_tuple=True)
            of = objects[layer, i, query]
            one_hot = F.one_hot(sample.gt_instances.labels[of], logits.shape[-1])
            target_class[layer, i, query] = one_hot.to(logits.dtype)
            target_boxes[layer, i, query] = normalized_boxes(sample)[of].to(boxes.dtype)

        loss_cls = self.loss_cls(logits, target_class).sum((1, 2, 3))
        losses = {}
        num_layers = len(logits)
        for layer in range(num_layers):
            count = reduce_mean(matched[layer].sum().float()).clamp(min=1)
            pred, target = boxes[layer][matched[layer]], target_boxes[layer][matched[layer]]
            prefix = layer_prefix(layer, num_layers)
            losses[f'{prefix}loss_cls'] = loss_cls[layer] / count
            losses[f'{prefix}loss_bbox'] = self.loss_bbox(pred, target, avg_factor=count)
            losses[f'{prefix}loss_iou'] = self.loss_iou(
                bbox_cxcywh_to_xyxy(pred), bbox_cxcywh_to_xyxy(target), avg_factor=count
            )
        return losses
