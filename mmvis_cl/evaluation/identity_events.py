"""Identity switches, misses and extra detections frame by frame, counted as CLEAR MOT does.

Bernardin and Stiefelhagen, 2008. An object keeps the identity that it had while they overlap, the
others are assigned anew in each frame. Classes do not matter here.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment


class FrameEvents(NamedTuple):
    """What an association does in a frame; identities and objects by their index.

    Attributes:
        matches (dict[int, int]): the identity of each object that has one.
        switches (list[tuple[int, int, int]]): object, the identity that it had when it was last
            matched, and the one that it has now.
        misses (list[int]): objects that are there and have no identity.
        extra (list[int]): identities that are there and have no object.
    """

    matches: dict[int, int]
    switches: list[tuple[int, int, int]]
    misses: list[int]
    extra: list[int]


def identity_events(
    frame_iou: np.ndarray, found: np.ndarray, present: np.ndarray, iou_thr: float = 0.5
) -> list[FrameEvents]:
    """Follow the objects of a video through a result.

    Args:
        frame_iou: (n, m, frames), of n identities with m objects.
        found: (n, frames) bool, where there is a mask of an identity.
        present: (m, frames) bool, where there is an object.
        iou_thr: Lowest IoU of a match.

    Returns:
        The events of each frame.
    """
    events: list[FrameEvents] = []
    last: dict[int, int] = {}
    before: dict[int, int] = {}
    for frame in range(frame_iou.shape[2]):
        iou = frame_iou[..., frame]
        near = (iou >= iou_thr) & found[:, frame, None] & present[:, frame]
        matches = {obj: identity for obj, identity in before.items() if near[identity, obj]}
        free = near.copy()
        free[list(matches.values())] = False
        free[:, list(matches)] = False
        # As many matches as possible, of these the best.
        rows, columns = linear_sum_assignment(np.where(free, 1000 + iou, 0), maximize=True)
        matches |= {
            int(obj): int(identity)
            for identity, obj in zip(rows, columns, strict=True)
            if free[identity, obj]
        }
        switches = [
            (obj, last[obj], identity)
            for obj, identity in matches.items()
            if last.get(obj, identity) != identity
        ]
        misses = [int(j) for j in np.flatnonzero(present[:, frame]) if j not in matches]
        taken = set(matches.values())
        extra = [int(i) for i in np.flatnonzero(found[:, frame]) if i not in taken]
        events.append(FrameEvents(matches, switches, misses, extra))
        last |= matches
        before = matches
    return events


def object_of_identity(frame_iou: np.ndarray, iou_thr: float = 0.5) -> list[int | None]:
    """Which object each identity is of: the one that it lies on in most frames.

    Args:
        frame_iou: (n, m, frames), of n identities with m objects.
        iou_thr: Lowest IoU of a frame that counts.

    Returns:
        n indices of objects; None for an identity that lies on no object in any frame. Of equal
        ones the object with the higher sum of IoU.
    """
    on = frame_iou * (frame_iou >= iou_thr)
    # A sum of IoU never makes up for a frame.
    score = (on > 0).sum(2) + on.sum(2) / (frame_iou.shape[2] + 1)
    return [int(row.argmax()) if row.max(initial=0) > 0 else None for row in score]
