"""mmdet's Mask2Former as an image network of the video model."""

from typing import NamedTuple

import torch
from mmdet.models.detectors import MaskFormer
from mmdet.structures import SampleList
from mmengine.config import ConfigDict
from torch import Tensor

from mmvis_cl.models.task_modules.ota_assigner import OTAMatch
from mmvis_cl.registry import MODELS

from .image_network import ImageNetwork


class MaskQueryStates(NamedTuple):
    """What the decoder knows of B images after L predictions with Q queries.

    Attributes:
        states (Tensor): (1, B, Q, C) normalised states, from which the last prediction is made.
        logits (Tensor): (1, B, Q, K), of which the sigmoid is the probability of each class.
        cls_scores (list[Tensor]): L of (B, Q, K + 1), the logits of classes and background.
        masks (list[Tensor]): L of (B, Q, H / 4, W / 4), mask logits over the padded input.
        img_shapes (list[tuple[int, int]]): h, w of the images without padding.
    """

    states: Tensor
    logits: Tensor
    cls_scores: list[Tensor]
    masks: list[Tensor]
    img_shapes: list[tuple[int, int]]

    @property
    def boxes(self) -> Tensor:
        """(1, B, Q, 4; cx, cy, w, h over the unpadded size) around the last masks, 0 if empty."""
        pairs = zip(self.masks[-1], self.img_shapes, strict=True)
        return torch.stack([mask_boxes(masks, shape) for masks, shape in pairs])[None]

    def images(self, index: list[int]) -> 'MaskQueryStates':
        """The states of some of the images."""
        return MaskQueryStates(
            *(t[:, index] for t in self[:2]),
            [t[index] for t in self.cls_scores],
            [t[index] for t in self.masks],
            [self.img_shapes[i] for i in index],
        )


@MODELS.register_module()
class QueryMaskFormer(ImageNetwork, MaskFormer):
    """mmdet's MaskFormer or Mask2Former with what :class:`ContrastiveVIS` asks of its detector.

    The losses are mmdet's. The embedding head gets the queries' states after the last layer, the
    assigner that tells positives from negatives the boxes around the masks.

    Args:
        panoptic_head (dict): a :class:`MaskQueryHead`, or one of mmdet's.
        panoptic_fusion_head (dict, optional): what mmdet makes results of single images with; by
            default for the classes of ``panoptic_head``.
        **kwargs: of mmdet's ``Mask2Former``. Of ``test_cfg``, ``score_thr`` is used: queries
            scoring more are kept (the best one if there is none).
    """

    class_logits_are = 'logits with background'

    def __init__(
        self, panoptic_head: dict, panoptic_fusion_head: dict | None = None, **kwargs
    ) -> None:
        panoptic_fusion_head = panoptic_fusion_head or dict(
            type='mmdet.MaskFormerFusionHead',
            num_things_classes=panoptic_head.get('num_classes'),
            num_stuff_classes=0,
            loss_panoptic=None,
        )
        super().__init__(
            panoptic_head=ConfigDict(panoptic_head),
            panoptic_fusion_head=ConfigDict(panoptic_fusion_head),
            **kwargs,
        )
        self.embed_dims = self.panoptic_head.cls_embed.in_features

    def query_states(
        self, inputs: Tensor, samples: SampleList, last_layer: bool = False
    ) -> MaskQueryStates:
        """Run backbone and head.

        Args:
            inputs (Tensor): (B, 3, H, W) normalised images, padded at the right and the bottom.
            samples (list[DetDataSample]): B samples with ``img_shape``.
            last_layer (bool): not used; each layer needs the masks of the one before.

        Returns:
            MaskQueryStates: of all B images.
        """
        for sample in samples:
            sample.set_metainfo(dict(batch_input_shape=tuple(inputs.shape[-2:])))
        maps = self.extract_feat(inputs)
        # mmdet's heads do not give the states of their queries: they are what goes into the
        # class branch, at the last of its calls after the last layer
        seen = []
        hook = self.panoptic_head.cls_embed.register_forward_pre_hook(
            lambda branch, args: seen.append(args[0])
        )
        try:
            # where masks are cut decides what a layer sees: half precision would cut elsewhere
            with torch.autocast(inputs.device.type, enabled=False):
                cls_scores, masks = self.panoptic_head([m.float() for m in maps], samples)
        finally:
            hook.remove()
        states = seen[-1] if seen[-1].dim() == 3 else seen[-1][-1]  # MaskFormer: all layers at once
        prob = cls_scores[-1].softmax(-1)[..., :-1]
        return MaskQueryStates(
            states[None],
            prob.logit(eps=1e-6)[None],
            list(cls_scores),
            list(masks),
            [tuple(sample.img_shape[:2]) for sample in samples],
        )

    def loss_of_states(
        self, states: MaskQueryStates, samples: SampleList
    ) -> tuple[dict[str, Tensor], list[OTAMatch]]:
        """mmdet's losses, and which query learns which object in the last layer.

        Args:
            states (MaskQueryStates): of B images.
            samples (list[DetDataSample]): B samples with ``gt_instances`` (labels, masks padded to
                the input's size: ``pad_mask=True`` in the data preprocessor).

        Returns:
            tuple[dict, list[OTAMatch]]: the losses, and a match for each image.
        """
        head = self.panoptic_head
        truth = head.preprocess_gt([s.gt_instances for s in samples], [None] * len(samples))
        metas = [s.metainfo for s in samples]
        losses = head.loss_by_feat(states.cls_scores, states.masks, truth, metas)

        matches = []
        for cls_score, mask, objects, meta in zip(
            states.cls_scores[-1].detach(), states.masks[-1].detach(), truth, metas, strict=True
        ):
            # get_targets() cannot return sampling results: it adds their list to a tuple
            result = head._get_targets_single(cls_score, mask, objects, meta)[-1]
            query_object = result.pos_inds.new_full((states.states.shape[2],), -1)
            query_object[result.pos_inds] = result.pos_assigned_gt_inds
            # one to one, so every object has a query
            best = result.pos_inds[result.pos_assigned_gt_inds.argsort()]
            assert len(best) == len(objects.labels)
            matches.append(OTAMatch(query_object[None], best[None]))
        return losses, matches

    def confident_queries(self, states: MaskQueryStates, image: int) -> tuple[Tensor, Tensor]:
        """:meth:`select_queries` of one image, which needs no boxes, decided on the CPU."""
        return self.select_queries(states.logits[-1, image].cpu())

    def select_queries(self, logits: Tensor, boxes: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Keep the confident queries of one image; the video model's mask NMS drops duplicates.

        Args:
            logits (Tensor): (Q, K) of :class:`MaskQueryStates`.
            boxes (Tensor, optional): not used.

        Returns:
            tuple[Tensor, Tensor]: the kept queries' indices (n,), best first, and the class
            probabilities (n, K). n is at least 1.
        """
        prob = logits.sigmoid()
        scores, index = prob.max(1).values.sort(descending=True)
        index = index[: max(1, int((scores > self.test_cfg['score_thr']).sum()))]
        return index, prob[index]

    def class_logits(self, states: MaskQueryStates, image: int, index: Tensor) -> Tensor:
        """Logits (n, K + 1) of classes and background, of queries (n,) of one image."""
        return states.cls_scores[-1][image, index]

    def mask_logits(self, states: MaskQueryStates, image: int, index: Tensor, img_shape) -> Tensor:
        """Mask logits (n, H / 4, W / 4) over the padded input, of queries (n,) of one image."""
        return states.masks[-1][image, index]

    def query_boxes(
        self, states: MaskQueryStates, image: int, index: Tensor, masks: Tensor
    ) -> Tensor:
        """Boxes (n, 4; cx, cy, w, h over the unpadded size) around the queries' mask logits."""
        return mask_boxes(masks, states.img_shapes[image])

    def raw_outputs(self, states: MaskQueryStates, samples: SampleList) -> dict[str, Tensor]:
        """The last prediction, nothing selected.

        Returns:
            dict[str, Tensor]: ``pred_logits`` (B, Q, K + 1; the last is no object), ``pred_boxes``
            (B, Q, 4; cx cy w h over the unpadded size, around the masks), ``pred_masks`` (B, Q,
            H / 4, W / 4).
        """
        return dict(
            pred_logits=states.cls_scores[-1],
            pred_boxes=states.boxes[-1],
            pred_masks=states.masks[-1],
        )


def mask_boxes(masks: Tensor, img_shape: tuple[int, int], stride: int = 4) -> Tensor:
    """Boxes (n, 4; cx, cy, w, h over ``img_shape``) around mask logits (n, h, w) at a stride."""
    h, w = img_shape[:2]
    masks = masks[:, : -(-h // stride), : -(-w // stride)] > 0  # without the padding
    corners = []
    for used, side in ((masks.any(1), w), (masks.any(2), h)):
        first = used.int().argmax(1) * stride
        last = (used.shape[1] - used.flip(1).int().argmax(1)) * stride
        corners.append(torch.stack((first, last.clamp(max=side)), 1) / side)
    (x1, x2), (y1, y2) = (side.unbind(1) for side in corners)
    boxes = torch.stack(((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1), 1)
    return boxes * masks.any(1).any(1)[:, None]
