"""All that is kept of a video between its frames, and the step from one frame to the next."""

from dataclasses import dataclass

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from mmvis_cl.models.detectors.deformable_detr import boxes_in_pixels
from mmvis_cl.models.layers.mask_nms import mask_iou, mask_nms
from mmvis_cl.models.trackers.memory_bank import MemoryBank
from mmvis_cl.models.trackers.memory_bank_tracker import MemoryBankTracker
from mmvis_cl.ops.one_copy import to_cpu
from mmvis_cl.structures import VideoResult
from mmvis_cl.structures.frame_masks import FrameMasks


@dataclass
class VideoSession:
    """All that is kept of a video between its frames.

    Memory is bounded by the bank and the RLE of what was found, not by the video's length.

    Attributes:
        result (VideoResult): the tracks so far.
        tracker (MemoryBankTracker): gives the identities; it keeps nothing itself.
        mask_nms_thr (float): IoU above which a mask is dropped for a better-scored one.
        greedy_nms (bool): a mask that was dropped drops no other.
        smooth_masks (bool): masks are resized to the original size before they are cut at a
            probability of 0.5, not after.
        mask_quality (bool): how sure the network is of the masks' pixels counts in the scores.
        bank (MemoryBank, optional): the identities in memory; None before the first frame.
        next_frame (int): index of the frame that must come next.
        flip (bool): the network sees the frames mirrored left to right; boxes and masks are
            recorded as they are in the original.
    """

    result: VideoResult
    tracker: MemoryBankTracker
    mask_nms_thr: float
    greedy_nms: bool = False
    smooth_masks: bool = False
    mask_quality: bool = False
    bank: MemoryBank | None = None
    next_frame: int = 0
    flip: bool = False

    def add_frame(
        self,
        prob: Tensor,
        boxes: Tensor,
        embeds: Tensor,
        mask_logits: Tensor,
        img_shape: tuple[int, int],
        class_scores: Tensor | None = None,
    ) -> InstanceData:
        """Mask NMS, identities, and masks of the original size for the next frame's detections.

        What is decided on goes to the CPU, by one copy, with which the masks of a GPU come as well.

        Args:
            prob (Tensor): (n, K) class probabilities, detections in order of score.
            boxes (Tensor): (n, 4) cx, cy, w, h over the unpadded size.
            embeds (Tensor): (n, E).
            mask_logits (Tensor): (n, H / 4, W / 4) over the padded input.
            img_shape (tuple[int, int]): h, w without padding.
            class_scores (Tensor, optional): (n, ...) what ``result`` takes the mean of over time;
                ``prob`` if None.

        Returns:
            InstanceData: the frame's identities. ``labels`` and ``scores`` are those of the best
            class of the identity's mean over time so far.
        """
        result = self.result
        masks = FrameMasks(
            *(mask_logits, img_shape, result.ori_shape, self.flip),
            *(self.smooth_masks, self.mask_quality),
        )
        class_scores = prob if class_scores is None else class_scores.float()
        iou, prob, class_scores, boxes, embeds, *drawn = to_cpu(
            *(mask_iou(mask_logits > 0), prob, class_scores, boxes, embeds.float()),
            *masks.drawn(),
        )
        kept = mask_nms(iou, self.mask_nms_thr, self.greedy_nms).nonzero()[:, 0]
        prob, boxes, embeds = prob[kept], boxes[kept], embeds[kept]
        scores, labels = prob.max(1)
        ids, self.bank = self.tracker.track(
            self.bank, self.next_frame, embeds, scores, labels, boxes, iou[kept][:, kept]
        )

        seen = (ids >= 0).nonzero()[:, 0]
        rles, quality = masks.encode(kept[seen], drawn)
        bboxes = boxes_in_pixels(boxes[seen], result.ori_shape)
        if self.flip:
            bboxes[:, [0, 2]] = result.ori_shape[1] - bboxes[:, [2, 0]]
        result.add_frame(
            self.next_frame,
            ids[seen].numpy(),
            class_scores[kept[seen]].numpy(),
            rles,
            bboxes.numpy(),
            quality,
            embeds[seen].numpy(),
        )
        self.next_frame += 1

        mean = [result.mean_scores(i) * result.mask_quality(i) for i in ids[seen].tolist()]
        return InstanceData(
            instances_id=ids[seen],
            labels=torch.tensor([int(m.argmax()) for m in mean], dtype=torch.long),
            scores=torch.tensor([float(m.max()) for m in mean]),
            bboxes=bboxes,
            masks=rles,
        )
