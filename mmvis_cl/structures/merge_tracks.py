"""Merging the tracks that several runs (models, scales) found in one video."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from mmvis_cl.errors import InputError
from mmvis_cl.structures.mask_rle import vote_on_masks

from .track_iou import SharedMasks, iou_of_runs
from .track_runs import TrackRuns

METHODS = ('suppress', 'fuse')
SCORES = ('mean', 'max')
DEFAULT_METHOD = 'fuse'
DEFAULT_SCORE = 'mean'
DEFAULT_IOU_THR = 0.5


def merge_tracks(
    runs: Sequence[Sequence[dict]],
    weights: Sequence[float] | None = None,
    method: str = DEFAULT_METHOD,
    iou_thr: float = DEFAULT_IOU_THR,
    score: str = DEFAULT_SCORE,
) -> list[dict]:
    """Merge the tracks of a video by class and spatio-temporal IoU.

    Within a class, tracks are taken in order of weight times score. Each one that is still there
    leads a cluster and takes along the tracks of *other* runs that overlap it by more than
    ``iou_thr``, but for those that another track of its own run overlaps still more. Tracks of one
    run never touch each other, so a single run, or one merged with itself, stays as it is. Of each
    other run the track that overlaps the leader most is a member of the cluster; further ones are
    dropped.

    - 'suppress' (NMS) keeps the leader's masks.
    - 'fuse' sets the pixels of a frame that members with at least half of the cluster's votes set.
      A member has weight times score votes, and where it has no mask it votes against all pixels.

    The score of a cluster is ('mean') the weighted mean over *all* runs of the score that the run's
    member has, 0 where it has none: sum_r w_r s_r / sum_r w_r, so that what the runs agree on comes
    first; or ('max') the leader's own.

    Args:
        runs: For each run its tracks: dicts with ``category_id`` (or any key of the class),
            ``score`` (>= 0) and ``segmentations`` (for each frame of the video compressed COCO RLE,
            or None).
        weights: Of each run, > 0; all equal by default.
        method: 'suppress' or 'fuse'.
        iou_thr: 0 to 1, see above.
        score: 'mean' or 'max'.

    Returns:
        One dict a cluster, in the order of the leaders in ``runs``: ``category_id``, ``score``,
        ``segmentations`` and ``members``, a list of (run, index of the track in the run), the
        leader first. Where the leader's masks are kept, it is the same ``segmentations`` object.

    Raises:
        InputError: An argument is out of range.
    """
    weights = check_merge_options(len(runs), weights, method, iou_thr, score)
    pool = [(run, index) for run, tracks in enumerate(runs) for index in range(len(tracks))]
    tracks = [runs[run][index] for run, index in pool]
    votes = np.array([weights[run] * runs[run][index]['score'] for run, index in pool])
    iou = _iou_across_runs(runs, iou_thr)
    run_of = np.array([run for run, _ in pool])
    by_class = defaultdict(list)
    for i, track in enumerate(tracks):
        by_class[track['category_id']].append(i)
    clusters = [
        cluster
        for indices in map(np.array, by_class.values())
        for cluster in _clusters(indices, run_of, votes, iou, iou_thr)
    ]

    merged = []
    for members in sorted(clusters):
        leader = tracks[members[0]]
        masks, found = leader['segmentations'], leader['score']
        if method == 'fuse' and len(members) > 1:
            masks = _fused([tracks[i] for i in members], votes[members])
            if not any(masks):  # with a low iou_thr no pixel may get half of the votes
                continue
        if score == 'mean':
            found = sum(weights[pool[i][0]] * tracks[i]['score'] for i in members) / sum(weights)
        merged.append(
            dict(
                category_id=leader['category_id'],
                score=found,
                segmentations=masks,
                members=[pool[i] for i in members],
            )
        )
    return merged


def check_merge_options(
    num_runs: int,
    weights: Sequence[float] | None = None,
    method: str = DEFAULT_METHOD,
    iou_thr: float = DEFAULT_IOU_THR,
    score: str = DEFAULT_SCORE,
) -> list[float]:
    """Check the options of :func:`merge_tracks`, for instance before a long run.

    Returns:
        The weights, ``num_runs`` of them.

    Raises:
        InputError: An option is out of range.
    """
    if method not in METHODS:
        raise InputError(f'method {method!r} is not known; give one of {", ".join(METHODS)}')
    if score not in SCORES:
        raise InputError(f'score {score!r} is not known; give one of {", ".join(SCORES)}')
    if not 0 <= iou_thr <= 1:
        raise InputError(f'iou_thr is {iou_thr}, but an IoU lies between 0 and 1')
    weights = [1.0] * num_runs if weights is None else [float(weight) for weight in weights]
    if len(weights) != num_runs:
        raise InputError(f'{len(weights)} weights for {num_runs} runs; give one for each')
    if not all(0 < weight < float('inf') for weight in weights):
        raise InputError(f'weights are {weights}; each must be above 0 and finite')
    return weights


def _iou_across_runs(runs: Sequence[Sequence[dict]], min_iou: float) -> np.ndarray:
    """IoU of all tracks of all runs, -1 within a run; 0 of other classes or below ``min_iou``.

    An identity gives several tracks with the same masks, one a class: they are compared once.
    """
    unique: list[list] = []
    place: list[int] = []
    first = [0]
    classes: list[set[int]] = []
    for tracks in runs:
        shared = SharedMasks()
        for track in tracks:
            masks = track['segmentations']

            def add(masks: list = masks) -> int:
                unique.append(masks)
                classes.append(set())
                return len(unique) - 1

            place.append(shared.get(masks, add))
            classes[place[-1]].add(track['category_id'])
        first.append(len(unique))
    if not unique:
        return np.empty((0, 0))
    track_runs = TrackRuns(unique)
    known = sorted(set().union(*classes))
    has_class = np.array([[c in found for c in known] for found in classes], int)
    iou = np.full((len(unique), len(unique)), -1.0)
    for start, end in pairwise(first):
        iou[:start, start:end] = iou_of_runs(
            track_runs,
            slice(0, start),
            slice(start, end),
            min_iou,
            wanted=has_class[:start] @ has_class[start:end].T > 0,
        )
        iou[start:end, :start] = iou[:start, start:end].T
    return iou[np.ix_(place, place)]


def _clusters(
    tracks: np.ndarray, run_of: np.ndarray, votes: np.ndarray, iou: np.ndarray, iou_thr: float
) -> Iterator[list[int]]:
    """The members of each cluster of the tracks of a class, the leader first."""
    ranked = tracks[(-votes[tracks]).argsort(kind='stable')]
    free = ranked
    while len(free):
        leader, free = free[0], free[1:]
        overlap = iou[leader, free]
        same_run = ranked[run_of[ranked] == run_of[leader]]
        taken = (overlap > iou_thr) & (overlap >= iou[np.ix_(same_run, free)].max(0))
        near = free[taken][(-overlap[taken]).argsort(kind='stable')]
        first_of_run = np.unique(run_of[near], return_index=True)[1]
        yield [int(leader), *near[np.sort(first_of_run)].tolist()]
        free = free[~taken]


def _fused(tracks: list[dict], votes: np.ndarray) -> list[dict | None]:
    """The masks that the tracks vote for, frame by frame."""
    # Whole votes make sums exact; 2^30 steps for the largest are finer than float32 scores.
    largest = max(votes) or 1
    whole = [max(1, round(vote / largest * 2**30)) for vote in votes.tolist()]
    return vote_on_masks(list(zip(*(t['segmentations'] for t in tracks), strict=True)), whole)
