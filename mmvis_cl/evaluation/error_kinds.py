"""Why a result is not a match, in the manner of TIDE carried from boxes to tracks.

TIDE (Bolya et al., ECCV 2020) looks at the IoU of a wrong box with the objects of its own and of
other classes. Of a track there are two IoU: over space and time with one object, and over its own
frames with whatever object it lies on in each. Only the first knows identities, so a track that is
good by the second and bad by the first was detected well and associated badly.
"""

from dataclasses import dataclass

import numpy as np
import pycocotools.mask as mask_util

# In the order in which they are printed. The first three can be mended into a match.
KINDS = (
    'class',
    'localisation',
    'association',
    'both',
    'duplicate',
    'background',
    'missed',
)
MENDABLE = ('class', 'localisation', 'association')
BACKGROUND_IOU = 0.1  # TIDE's


@dataclass
class WrongResults:
    """What is wrong in a video at one threshold.

    Attributes:
        kinds: (n,) index into ``KINDS``, or -1 for results that are right or do not count.
        objects: (n,) the object that a result was matched with or that a mended one would be,
            or -1.
        merged: (n,) bool, of association errors: two objects or more in one result. The others
            are split: their object continues in another result.
        missed: (m,) bool, objects that are neither matched nor what a mendable result is of.
    """

    kinds: np.ndarray
    objects: np.ndarray
    merged: np.ndarray
    missed: np.ndarray


class VideoOverlaps:
    """Overlaps of the results of a video with its objects, frame by frame.

    Args:
        masks: n results' ``TrackMasks``, the best score first. Results can share them.
        classes: (n,) their classes.
        object_masks: m annotated objects' ``TrackMasks``, m >= 1.
        object_classes: (m,) their classes.
    """

    def __init__(
        self, masks: list, classes: np.ndarray, object_masks: list, object_classes: np.ndarray
    ) -> None:
        self.same = classes[:, None] == object_classes
        distinct = {id(track): track for track in masks}
        row_of = {key: row for row, key in enumerate(distinct)}
        rows = [row_of[id(track)] for track in masks]
        pixels = shared_pixels(list(distinct.values()), object_masks)[rows]
        areas = np.stack([track.areas for track in masks])
        object_areas = np.stack([track.areas for track in object_masks])
        total = areas.sum(1)[:, None] + object_areas.sum(1)
        shared = pixels.sum(2)
        self.iou = shared / np.maximum(total - shared, 1)

        self._pixels = pixels
        self._unions = areas[:, None] + object_areas - pixels
        self._frame_iou = pixels / np.maximum(self._unions, 1)
        self._areas, self._object_areas = areas, object_areas
        self._on, self.frame_wise = self._lying_on(self.same)
        self._on_any, self.frame_wise_any = self._lying_on(np.ones_like(self.same))
        # Of each object's pixels in the frames in which the result lies on it.
        self._pixels_on = (pixels * self._on).sum(2)
        seen = areas > 0
        self._frames_seen = seen.sum(1)
        own_union = (self._unions * seen[:, None]).sum(2)
        self._iou_in_own_frames = shared / np.maximum(own_union, 1)

    def _lying_on(self, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """In each frame the allowed object that a result overlaps most, and the IoU with these.

        Args:
            allowed: (n, m) bool.

        Returns:
            (n, m, frames) bool and the frame-wise IoU (n,).
        """
        frame_iou = self._frame_iou * allowed[:, :, None]
        best = frame_iou.argmax(1)[:, None]
        on = np.zeros(frame_iou.shape, bool)
        np.put_along_axis(on, best, np.take_along_axis(frame_iou, best, 1) > 0, axis=1)
        shared = (self._pixels * on).sum((1, 2))
        # Where it lies on nothing the union is its own area.
        union = (self._unions * on).sum((1, 2)) + (self._areas * ~on.any(1)).sum(1)
        return on, shared / np.maximum(union, 1)

    def linkable(self, threshold: float) -> np.ndarray:
        """Which objects a perfect association of the masks that were found would match.

        In each frame an object gets the best of the masks that lie on it, of those results of any
        class whose frame-wise IoU reaches the threshold.

        Returns:
            (m,) bool: whether the IoU over space and time then reaches the threshold.
        """
        usable = self._on_any & (self.frame_wise_any >= threshold)[:, None, None]
        frame_iou = self._frame_iou * usable
        best = frame_iou.argmax(0)[None]
        found = np.take_along_axis(frame_iou, best, 0)[0] > 0
        shared = np.take_along_axis(self._pixels, best, 0)[0] * found
        union = np.take_along_axis(self._unions, best, 0)[0]
        union = np.where(found, union, self._object_areas)
        return shared.sum(1) / np.maximum(union.sum(1), 1) >= threshold

    def wrong_results(
        self, threshold: float, matched: np.ndarray, ignored: np.ndarray
    ) -> WrongResults:
        """Sort what is wrong by kind.

        A result that is not matched is, and the first that holds counts:

        - duplicate: its IoU with an object of its class reaches the threshold, so another result
          has that object;
        - class: its IoU with an object of another class does;
        - association: its frame-wise IoU with objects of its class reaches the threshold, and one
          of these objects is :meth:`linkable`. It is a duplicate instead if the result matched
          with the object lies on it too in more than half of this result's frames;
        - localisation: its IoU or frame-wise IoU with objects of its class reaches 0.1: masks
          that do not fit, or too few frames and no other result has the rest;
        - both: likewise with objects of other classes, class and place are wrong;
        - background: the rest.

        Args:
            threshold: Lowest IoU of a match.
            matched: (n,) bool, results that the evaluation matched.
            ignored: (n,) bool, results that do not count in the evaluation.
        """
        n = len(self.iou)
        owner = self._owners(threshold, matched & ~ignored)
        objects = np.full(n, -1)
        objects[owner[owner >= 0]] = np.flatnonzero(owner >= 0)
        kinds = np.full(n, -1)
        merged = np.zeros(n, bool)
        own, other = self.iou * self.same, self.iou * ~self.same
        wrong = ~matched & ~ignored

        def put(name: str, those: np.ndarray, iou: np.ndarray | None = None) -> None:
            those = wrong & (kinds < 0) & those
            kinds[those] = KINDS.index(name)
            if iou is not None:
                objects[those] = iou[those].argmax(1)

        put('duplicate', own.max(1) >= threshold, own)
        put('class', other.max(1) >= threshold, other)

        linkable = self.linkable(threshold)
        candidates = (self._pixels_on > 0) & linkable & (self.frame_wise >= threshold)[:, None]
        claimed = owner >= 0
        for i in np.flatnonzero(wrong & (kinds < 0) & candidates.any(1)).tolist():
            # An object that nothing matches yet first, then the one that it shows most of.
            target = max(
                np.flatnonzero(candidates[i]), key=lambda j: (not claimed[j], self._pixels_on[i, j])
            )
            objects[i] = target
            rival = owner[target]
            together = self._on[i, target] & self._on_any[rival, target]
            if rival >= 0 and 2 * together.sum() > self._frames_seen[i]:
                kinds[i] = KINDS.index('duplicate')
                continue
            kinds[i] = KINDS.index('association')
            merged[i] = self._iou_in_own_frames[i][self.same[i]].max() < threshold
            claimed[target] = True

        put('localisation', np.maximum(own.max(1), self.frame_wise) >= BACKGROUND_IOU, own)
        put('both', np.maximum(other.max(1), self.frame_wise_any) >= BACKGROUND_IOU, other)
        put('background', np.ones(n, bool))

        missed = owner < 0
        mendable = np.isin(kinds, [KINDS.index(kind) for kind in MENDABLE])
        missed[objects[mendable]] = False
        return WrongResults(kinds, objects, merged, missed)

    def _owners(self, threshold: float, matched: np.ndarray) -> np.ndarray:
        """(m,) the result that the evaluation matched with each object, or -1."""
        owner = np.full(self.iou.shape[1], -1)
        for i in np.flatnonzero(matched).tolist():
            # As `match_tracks` has it: the most overlapped one left, of equal ones the last.
            near = (owner < 0) & self.same[i] & (self.iou[i] >= threshold)
            last_first = np.where(near, self.iou[i], -1)[::-1]
            owner[len(owner) - 1 - last_first.argmax()] = i
        return owner


def shared_pixels(tracks: list, objects: list) -> np.ndarray:
    """Pixels that tracks share with objects in each frame.

    Args:
        tracks: n ``TrackMasks`` of a video.
        objects: m ``TrackMasks`` of the same video.

    Returns:
        (n, m, frames) int64.
    """
    areas = np.stack([track.areas for track in tracks])
    pixels = np.zeros((len(tracks), len(objects), areas.shape[1]), np.int64)
    for frame in range(areas.shape[1]):
        rows = [i for i, track in enumerate(tracks) if track.rles[frame]]
        columns = [j for j, track in enumerate(objects) if track.rles[frame]]
        if not rows or not columns:
            continue
        # For crowds pycocotools divides by the first mask's area instead of the union.
        shares = mask_util.iou(
            [tracks[i].rles[frame] for i in rows],
            [objects[j].rles[frame] for j in columns],
            [1] * len(columns),
        )
        pixels[np.ix_(rows, columns, [frame])] = np.rint(shares * areas[rows, frame][:, None])[
            ..., None
        ]
    return pixels
