"""Class and box branches of every decoder layer, their matching and their losses."""

import torch
from mmdet.models.dense_heads import DeformableDETRHead
from mmdet.structures import SampleList
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_xyxy_to_cxcywh
from mmdet.utils import reduce_mean
from torch import Tensor

from mmvis_cl.models.task_modules.ota_assigner import OTAMatch
from mmvis_cl.registry import MODELS


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


def layer_losses(name: str, values: Tensor) -> dict[str, Tensor]:
    """The losses (L,) of the decoder layers under mmdet's names.

    'd0.' + name, 'd1.' + name, ..., and the name alone for the last layer.
    """
    last = len(values) - 1
    return {
        name if layer == last else f'd{layer}.{name}': value
        for layer, value in enumerate(values.unbind())
    }


def matched_queries(matches: list[OTAMatch]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """All queries of B images that learn an object, over all layers.

    Args:
        matches (list[OTAMatch]): one an image.

    Returns:
        tuple[Tensor, Tensor, Tensor, Tensor]: of each such query its layer, its image, its number,
        and its object's place among the objects of all images, one image after the other.
    """
    objects = torch.stack([match.objects for match in matches])  # (B, L, Q)
    before = [0]
    for match in matches[:-1]:
        before.append(before[-1] + match.best_query.shape[1])
    image, layer, query = (objects >= 0).nonzero(as_tuple=True)  # images one after the other
    of = objects[image, layer, query] + objects.new_tensor(before)[image]
    return layer, image, query, of


class LayerMeans:
    """Sums of the matched queries' losses by layer, over the layer's number of matched queries.

    The number is the mean over all processes, and at least 1.

    Args:
        layer (Tensor): (m,) long, the layer of each matched query.
        num_layers (int): L.

    Attributes:
        count (Tensor): (L,) float32.
    """

    def __init__(self, layer: Tensor, num_layers: int) -> None:
        self.layer = layer
        ones = torch.ones_like(layer, dtype=torch.float32)
        self.count = reduce_mean(ones.new_zeros(num_layers).index_add(0, layer, ones)).clamp(min=1)

    def __call__(self, losses: Tensor) -> Tensor:
        """Losses of queries (m,) to losses of layers (L,)."""
        return losses.new_zeros(len(self.count)).index_add(0, self.layer, losses) / self.count


@MODELS.register_module()
class QueryHead(DeformableDETRHead):
    """Deformable DETR's branches, learned with several queries per object.

    The branches and their initialisation are mmdet's. The matching (``train_cfg.assigner``, an
    :class:`OTAAssigner`) is kept apart from the losses, since masks and embeddings use it as well.
    """

    def last_layer(self, hidden_states: Tensor, references: list[Tensor]) -> tuple[Tensor, Tensor]:
        """What :meth:`forward` gives of the last layer, without gradients of the boxes.

        Args:
            hidden_states (Tensor): (L, B, Q, C) of the decoder.
            references (list[Tensor]): L + 1, each (B, Q, 2 or 4): what each layer refines, and to
                what the last one has refined it.

        Returns:
            tuple[Tensor, Tensor]: logits (1, B, Q, K) and boxes (1, B, Q, 4).
        """
        # the decoder has called the box branches already
        return self.cls_branches[-1](hidden_states[-1])[None], references[-1][None]

    def match(self, logits: Tensor, boxes: Tensor, samples: SampleList) -> list[OTAMatch]:
        """Match the queries of all layers to the objects of each image.

        Args:
            logits (Tensor): (L, B, Q, K).
            boxes (Tensor): (L, B, Q, 4) cx, cy, w, h over the unpadded image size.
            samples (list[DetDataSample]): B samples with ``gt_instances``.

        Returns:
            list[OTAMatch]: one match an image.
        """
        return self.assigner.assign_images(
            logits,
            boxes,
            [sample.gt_instances.labels for sample in samples],
            [normalized_boxes(sample) for sample in samples],
        )

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
        layer, image, query, of = matched_queries(matches)
        labels = torch.cat([sample.gt_instances.labels for sample in samples])
        target_class = torch.zeros_like(logits)
        target_class[layer, image, query, labels[of]] = 1
        pred = boxes[layer, image, query]
        target = torch.cat([normalized_boxes(sample) for sample in samples])[of].to(pred)

        per_layer = LayerMeans(layer, len(logits))
        loss_cls = self.loss_cls(logits, target_class).sum((1, 2, 3)) / per_layer.count
        l1 = giou = pred.sum(1)  # of no query; mmdet's losses lose the gradient there
        if len(pred):
            l1 = self.loss_bbox(pred, target, reduction_override='none').sum(1)
            corners = bbox_cxcywh_to_xyxy(pred), bbox_cxcywh_to_xyxy(target)
            giou = self.loss_iou(*corners, reduction_override='none')
        return (
            layer_losses('loss_cls', loss_cls)
            | layer_losses('loss_bbox', per_layer(l1))
            | layer_losses('loss_iou', per_layer(giou))
        )
