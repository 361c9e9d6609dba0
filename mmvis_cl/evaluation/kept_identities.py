"""Which identities are kept, by how long an object was not followed before.

An object is followed frame by frame as in ``identity_events``. Between two frames in which it is
matched, and none in between, it returns: with the identity that it had, or with another one.
"""

from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as mask_utils

from .error_kinds import shared_pixels
from .identity_events import identity_events
from .track_ap import CheckedTracks

# Frames between two matches, both ends included; the last has no end.
UNSEEN = ((0, 0), (1, 1), (2, 4), (5, 9), (10, 19), (20, 39), (40, None))
# From here on two boxes lie on one another.
BOX_IOU = 0.1


class Return(NamedTuple):
    """An object that is followed again, or still.

    Attributes:
        unseen (int): frames in which it was not followed since.
        kept (bool): whether it has the identity that it had.
        away (bool): whether it was annotated in none of these frames, so that nobody could have
            followed it.
        look_alike (bool): whether another object of its class is annotated in the video.
        overlapped (bool): whether another object's box lay on its own when it was last followed.
    """

    unseen: int
    kept: bool
    away: bool
    look_alike: bool
    overlapped: bool


def kept_identities(tracks: CheckedTracks, score_thr: float = 0.0) -> dict[str, Any]:
    """Tell when identities are lost.

    Args:
        tracks: From :func:`~mmvis_cl.evaluation.track_ap.checked_tracks`. Results with the same
            masks, which differ in their class, are one identity; classes do not matter.
        score_thr: Results with a lower score are left out.

    Returns:
        A dict that can be written as JSON: ``by_unseen``, for each range of :data:`UNSEEN` in which
        something returns ``low``, ``high`` (None: no end), ``returns`` and ``kept``;
        ``by_circumstance``, of those that were not followed for a frame or more, ``returns`` and
        ``kept`` where there is a look-alike (``look-alike``) and where there is none (``alone``),
        where another object lay on it (``overlapped``) and where not (``free``), where it was away
        (``away``) and where it was there and missed (``missed``); and ``takeovers``, how often an
        identity went from one object to another.
    """
    returns, takeovers = [], 0
    by_video: dict[object, tuple[list, dict]] = defaultdict(lambda: ([], {}))
    for track in tracks.annotated:
        if not track['iscrowd']:
            by_video[track['video_id']][0].append(track)
    for track in tracks.predicted:
        if track['score'] >= score_thr:
            by_video[track['video_id']][1][id(track['masks'])] = track['masks']
    for objects, results in by_video.values():
        if objects and results:
            found, taken = _of_video(objects, list(results.values()))
            returns += found
            takeovers += taken
    by_unseen = []
    for low, high in UNSEEN:
        within = [r for r in returns if low <= r.unseen and (high is None or r.unseen <= high)]
        if within:
            by_unseen.append(dict(low=low, high=high, **_counts(within)))
    lost = [r for r in returns if r.unseen > 0]
    by_circumstance = {
        name: _counts([r for r in lost if holds(r)]) for name, holds in _CIRCUMSTANCES.items()
    }
    return dict(by_unseen=by_unseen, by_circumstance=by_circumstance, takeovers=takeovers)


_CIRCUMSTANCES: dict[str, Callable[[Return], bool]] = {
    'look-alike': lambda r: r.look_alike,
    'alone': lambda r: not r.look_alike,
    'overlapped': lambda r: r.overlapped,
    'free': lambda r: not r.overlapped,
    'away': lambda r: r.away,
    'missed': lambda r: not r.away,
}


def _counts(returns: list[Return]) -> dict[str, int]:
    return dict(returns=len(returns), kept=sum(r.kept for r in returns))


def _of_video(objects: list[dict], results: list) -> tuple[list[Return], int]:
    """Returns, and how often an identity went over to another object."""
    masks = [track['masks'] for track in objects]
    pixels = shared_pixels(results, masks)
    areas, object_areas = (np.stack([m.areas for m in group]) for group in (results, masks))
    iou = pixels / np.maximum(areas[:, None] + object_areas - pixels, 1)
    present = object_areas > 0
    events = identity_events(iou, areas > 0, present)
    labels = [track['category_id'] for track in objects]
    returns, takeovers = [], 0
    for obj, track in enumerate(masks):
        frames = [t for t, event in enumerate(events) if obj in event.matches]
        for before, after in pairwise(frames):
            returns.append(
                Return(
                    unseen=after - before - 1,
                    kept=events[before].matches[obj] == events[after].matches[obj],
                    away=not present[obj, before + 1 : after].any(),
                    look_alike=labels.count(labels[obj]) > 1,
                    overlapped=_lies_on(track.rles[before], masks, before, obj),
                )
            )
    last: dict[int, int] = {}
    for event in events:
        for obj, identity in event.matches.items():
            takeovers += last.get(identity, obj) != obj
            last[identity] = obj
    return returns, takeovers


def _lies_on(rle: dict, masks: list, frame: int, obj: int) -> bool:
    """Whether the box of another object of a frame lies on that of an object's mask."""
    others = [
        other.rles[frame]
        for place, other in enumerate(masks)
        if place != obj and other.rles[frame] is not None
    ]
    if not others:
        return False
    boxes = mask_utils.toBbox([rle]), mask_utils.toBbox(others)
    return bool((np.asarray(mask_utils.iou(*boxes, [0] * len(others))) >= BOX_IOU).any())
