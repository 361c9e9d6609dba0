"""What was found in one frame of a video while it is watched."""

from dataclasses import dataclass, replace

import numpy as np
import supervision as sv

from mmvis_cl.structures.mask_crops import mask_crops


@dataclass
class FrameResult:
    """One frame of a tracked video and the identities seen in it.

    Attributes:
        index (int): frame number in the source; 0 is the source's first frame, wherever the
            tracking began.
        time (float): seconds since the source's first frame, from the container's timestamps where
            it has any, else ``index / fps``.
        image (ndarray): (H, W, 3) uint8, RGB.
        identities (ndarray): (n,) int64, >= 0; each is there once.
        labels (ndarray): (n,) int64, class indices.
        classes (list[str]): n class names.
        scores (ndarray): (n,) float32 in [0, 1], mean class probability of the identity so far.
        bboxes (ndarray): (n, 4) float32, x1, y1, x2, y2 in pixels of the image.
        rles (list[dict]): n masks as COCO RLE (``size``, ``counts`` as str) of the image's size.
    """

    index: int
    time: float
    image: np.ndarray
    identities: np.ndarray
    labels: np.ndarray
    classes: list[str]
    scores: np.ndarray
    bboxes: np.ndarray
    rles: list[dict]

    def __len__(self) -> int:
        """How many identities were seen."""
        return len(self.identities)

    def __repr__(self) -> str:
        """One line: which frame, its size, and who is in it."""
        seen = (f'#{i} {name}' for i, name in zip(self.identities, self.classes, strict=True))
        h, w = self.image.shape[:2]
        return (
            f'FrameResult(index={self.index}, time={self.time:.3f}, size={w}x{h}, '
            f'{len(self)} identities: {", ".join(seen) or "none"})'
        )

    @property
    def masks(self) -> np.ndarray:
        """The masks (n, H, W) bool, decoded anew each time: keep them if they are used twice."""
        masks = np.zeros((len(self.rles), *self.image.shape[:2]), dtype=bool)
        for mask, crop in zip(masks, mask_crops(self.rles, masks.shape[1:]), strict=True):
            h, w = crop.mask.shape
            mask[crop.top : crop.top + h, crop.left : crop.left + w] = crop.mask
        return masks

    def above(self, score_thr: float) -> 'FrameResult':
        """The frame with those identities alone whose score is above ``score_thr``."""
        index = (self.scores > score_thr).nonzero()[0]
        return replace(
            self,
            identities=self.identities[index],
            labels=self.labels[index],
            classes=[self.classes[i] for i in index],
            scores=self.scores[index],
            bboxes=self.bboxes[index],
            rles=[self.rles[i] for i in index],
        )

    def to_supervision(self) -> sv.Detections:
        """The frame for supervision's annotators, zones and sinks.

        Returns:
            sv.Detections: ``xyxy``, ``mask``, ``confidence``, ``class_id``, ``tracker_id`` and
            ``data['class_name']``.
        """
        return sv.Detections(
            xyxy=self.bboxes.astype(np.float32).reshape(-1, 4),
            mask=self.masks,
            confidence=self.scores,
            class_id=self.labels,
            tracker_id=self.identities,
            data=dict(class_name=np.array(self.classes, dtype=str)),
        )
