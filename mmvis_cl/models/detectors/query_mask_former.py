"""mmdet's Mask2Former as an image network of the video model."""

from typing import NamedTuple

import torch
from mmdet.models.detectors import MaskFormer
from mmdet.structures import SampleList
from torch import Tensor

from mmvis_cl.models.task_modules.ota_assigner import OTAMatch
from mmvis_cl.registry import MODELS


class MaskQueryStates(NamedTuple):
    """What the decoder knows of B images after L layers with Q queries.

    Attributes:
        states (Tensor): (1, B, Q, C) states after the last layer.
        logits (Tensor): (1, B, Q, K), of which the sigmoid is the probability of each class.
        boxes (Tensor): (1, B, Q, 4) cx, cy, w, h over the unpadded size, around the masks; 0 where
            a mask is empty.
        cls_scores (list[Tensor]): L of (B, Q, K + 1), the logits of classes and background.
        masks (list[Tensor]): L of (B, Q, H / 4, W / 4), mask logits over the padded input.
    """

    states: Tensor
    logits: Tensor
    boxes: Tensor
    cls_scores: list[Tensor]
    masks: list[Tensor]

    def images(self, index: list[int]) -> 'MaskQueryStates':
        """The states of some of the images."""
        return MaskQueryStates(
            *(t[:, index] for t in self[:3]),
            [t[index] for t in self.cls_scores],
            [t[index] for t in self.masks],
        )


@MODELS.register_module()
class QueryMaskFormer(MaskFormer):
    """mmdet's MaskFormer or Mask2Former with what :class:`ContrastiveVIS` asks of its detector.

    The losses are mmdet's. The embedding head gets the queries' states after the last layer, the
    assigner that tells positives from negatives the boxes around the masks.

    Args:
        **kwargs: of mmdet's ``Mask2Former``. Of ``test_cfg``, ``score_thr`` is used: queries
            scoring more are kept (the best one if there is none).
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
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
        # mmdet's heads do not give the states of their queries: they are what goes into the
        # class branch, at the last of its calls after the last layer
        seen = []
        hook = self.panoptic_head.cls_embed.register_forward_pre_hook(
            lambda branch, args: seen.append(args[0])
        )
        try:
            cls_scores, masks = self.panoptic_head(self.extract_feat(inputs), samples)
        finally:
            hook.remove()
        states = seen[-1] if seen[-1].dim() == 3 else seen[-1][-1]  # MaskFormer: all layers at once
        prob = cls_scores[-1].float().softmax(-1)[..., :-1]
        boxes = torch.stack(
            [mask_boxes(mask, s.img_shape) for mask, s in zip(masks[-1], samples, strict=True)]
        )
        return MaskQueryStates(
            states[None], prob.logit(eps=1e-6)[None], boxes[None], list(cls_scores), list(masks)
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

    def select_queries(self, logits: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Keep the confident queries of one image; the video model's mask NMS drops duplicates.

        Args:
            logits (Tensor): (Q, K) of :class:`MaskQueryStates`.
            boxes (Tensor): not used.

        Returns:
            tuple[Tensor, Tensor]: the kept queries' indices (n,), best first, and the class
            probabilities (n, K). n is at least 1.
        """
        prob = logits.sigmoid()
        scores, index = prob.max(1).values.sort(descending=True)
        index = index[: max(1, int((scores > self.test_cfg['score_thr']).sum()))]
        return index, prob[index]

    def mask_logits(self, states: MaskQueryStates, image: int, index: Tensor, img_shape) -> Tensor:
        """Mask logits (n, H / 4, W / 4) over the padded input, of queries (n,) of one image."""
        return states.masks[-1][image, index].float()

    def raw_outputs(self, states: MaskQueryStates, samples: SampleList) -> dict[str, Tensor]:
        """The last layer's outputs, nothing selected.

        Returns:
            dict[str, Tensor]: ``pred_logits`` (B, Q, K), ``pred_boxes`` (B, Q, 4; cx cy w h over
            the unpadded size), ``pred_masks`` (B, Q, H / 4, W / 4).
        """
        return dict(
            pred_logits=states.logits[-1],
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
