"""Where the AP of tracks is lost: how much higher it were without each kind of error.

What the kinds are is in ``error_kinds``. As in TIDE, one kind alone is mended in the matches of the
evaluation, and the AP is computed again:

- class, localisation, association: the best result of each object that nothing matches becomes a
  match, the other results of this kind are removed;
- both, duplicate, background: removed;
- missed: the objects are not asked for any more.

At each IoU threshold results are sorted and mended anew, and the AP of the thresholds averaged.
"""

import copy
import os
import sys
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from mmvis_cl.datasets.annotation_file import video_length
from mmvis_cl.errors import InputError

from .error_kinds import KINDS, MENDABLE, VideoOverlaps
from .kept_identities import kept_identities
from .track_ap import MANY, checked_tracks, score_tracks
from .track_matching import TrackEvaluation, shown

_KIND_INDEX = {kind: index for index, kind in enumerate(KINDS)}


def analyse_errors(
    results: list[dict] | str | os.PathLike,
    annotations: dict | str | os.PathLike,
    progress: bool | None = None,
    score_thr: float = 0.0,
) -> dict:
    """Tell where results lose AP, and identities.

    Args:
        results: Tracks in the format of a YouTube-VIS submission, or a ``.json`` or ``.zip`` file
            with them.
        annotations: Content or path of an annotation file in the format of YouTube-VIS.
        progress: Show bars on stderr; by default if that is a terminal and the results are many.
        score_thr: Results with a lower score do not count in ``identities``.

    Returns:
        A dict that can be written as JSON. All figures of AP are 0 to 1, or -1 where nothing is
        annotated.

        - ``scores``: of :func:`evaluate_tracks`, with details (``per_class`` among them);
        - ``losses``: for each of ``KINDS`` ``AP`` and ``AP50``, by how much mending it alone raises
          them, and ``count``, its results (of missed: its objects) at the IoU 0.5;
        - ``association``: how many of those are ``split`` and how many ``merged``;
        - ``identities``: which are kept, see :func:`.kept_identities`;
        - ``by_video_length`` and ``by_track_length``: for up to three ranges of frames, ``low`` to
          ``high``, ``videos`` (of the first only), ``tracks``, ``AP`` and ``AP50``. The length of
          a track is the number of frames that show it; others, and results of other lengths
          without a match, do not count, as it is with areas in COCO;
        - ``videos``: for each video ``video_id``, ``name``, ``loss`` (by how much the AP50 of all
          rises if everything is mended in this video alone), its own ``AP`` and ``AP50`` over the
          classes annotated in it, ``tracks``, ``results`` and ``errors``, the count of each kind;
          the greatest loss first;
        - ``errors``: each error at the IoU 0.5: ``kind``, ``video_id``, ``result`` (its place in
          the results, None if missed) and ``annotation`` (an id, or None).

    Raises:
        InputError: As :func:`evaluate_tracks` does, and if no track is annotated.
    """
    tracks = checked_tracks(results, annotations, progress)
    scores = score_tracks(tracks, details=True, progress=progress)
    if scores['AP'] < 0:
        raise InputError(
            f'{tracks.name}: no track is annotated, so there is no AP that could be lost'
        )
    if progress is None:
        progress = sys.stderr.isatty() and len(tracks.predicted) >= MANY
    annotations, videos = tracks.annotations, tracks.videos

    def all_sizes(entries: list[dict]) -> list[dict]:
        return [dict(entry, avg_area=0.0) for entry in entries]

    evaluation = _MendableEvaluation(
        videos, tracks.categories, all_sizes(tracks.annotated), all_sizes(tracks.predicted)
    )
    evaluation.evaluate(progress)
    evaluation.find_errors(progress)

    levels = range(len(evaluation.params.iouThrs))
    counts = evaluation.error_counts().sum(0).tolist()
    before = evaluation.average_precisions()
    losses = {}
    for kind, count in zip(KINDS, counts, strict=True):
        after = [evaluation.mended([kind], level).average_precision() for level in levels]
        gains = np.array(after) - before
        gains[np.abs(gains) < 1e-12] = 0  # sums in another order
        losses[kind] = dict(AP=float(gains.mean()), AP50=float(gains[0]), count=count)
    merged = int(evaluation.merged.sum())
    num_tracks = Counter(track['video_id'] for track in tracks.annotated if not track['iscrowd'])
    num_results = Counter(track['video_id'] for track in tracks.predicted)
    return dict(
        scores=scores,
        losses=losses,
        association=dict(split=losses['association']['count'] - merged, merged=merged),
        identities=kept_identities(tracks, score_thr),
        by_video_length=_by_video_length(evaluation, videos, num_tracks),
        by_track_length=_by_track_length(evaluation),
        videos=_by_video(evaluation, videos, num_tracks, num_results, progress),
        errors=evaluation.listed_errors(annotations['annotations']),
    )


class _MendableEvaluation(TrackEvaluation):
    """An evaluation whose matches can be changed after the fact. Areas do not matter here.

    After ``find_errors``: ``kinds`` and ``objects``, (T, n) for each threshold and result that
    counts, as in ``WrongResults``, the objects by their place among the annotated ones; ``merged``
    (n,) at the first threshold; ``missed`` (T, m).
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.params.areaRng, self.params.areaRngLbl = [[0, np.inf]], ['all']
        self.params.maxDets = self.params.maxDets[-1:]
        self._pairs: list | None = None

    def _table(self, tracks: Sequence[dict]) -> dict[str, np.ndarray]:
        return super()._table(tracks) | dict(index=np.arange(len(tracks)))

    def _overlaps(self, order: np.ndarray, progress: bool) -> list:
        if self._pairs is None:
            self._pairs = list(super()._overlaps(order, progress))
        return self._pairs

    def find_errors(self, progress: bool) -> None:
        thresholds = self.params.iouThrs
        shape = len(thresholds), len(self._found['index'])
        self.kinds, self.objects = np.full(shape, -1), np.full(shape, -1)
        self.merged = np.zeros(shape[1], bool)
        counted = ~self._truth['crowd']
        self.missed = np.repeat(counted[None], len(thresholds), axis=0)
        for video in shown(range(len(self.params.vidIds)), progress, 'sorting errors'):
            found = np.flatnonzero(self._found['video'] == video)
            found = found[np.argsort(-self._found['score'][found], kind='stable')]
            truth = np.flatnonzero((self._truth['video'] == video) & counted)
            if not len(found):
                continue
            if not len(truth):
                wrong = ~self._matched[0][:, found] & ~self._ignored[0][:, found]
                self.kinds[:, found] = np.where(wrong, _KIND_INDEX['background'], -1)
                continue
            overlaps = VideoOverlaps(
                [self._predicted[i]['masks'] for i in self._found['index'][found].tolist()],
                self._found['class'][found],
                [self._annotated[i]['masks'] for i in truth.tolist()],
                self._truth['class'][truth],
            )
            for level, threshold in enumerate(thresholds):
                wrong = overlaps.wrong_results(
                    threshold, self._matched[0, level, found], self._ignored[0, level, found]
                )
                self.kinds[level, found] = wrong.kinds
                self.objects[level, found] = np.where(wrong.objects < 0, -1, truth[wrong.objects])
                self.missed[level, truth] = wrong.missed
                if level == 0:
                    self.merged[found] = wrong.merged

    def at_threshold(self, level: int) -> '_MendableEvaluation':
        """The same at one threshold alone."""
        other = copy.copy(self)
        other.params = copy.copy(self.params)
        other.params.iouThrs = self.params.iouThrs[level : level + 1]
        other._matched = self._matched[:, level : level + 1]
        other._ignored = self._ignored[:, level : level + 1]
        return other

    def mended(
        self, kinds: Collection[str], level: int, video: int | None = None
    ) -> '_MendableEvaluation':
        """The evaluation at one threshold as it would be without these kinds of errors.

        Args:
            kinds: Out of ``KINDS``.
            level: Index of the threshold.
            video: Mend those of this video alone, by its place in ``params.vidIds``.
        """
        other = self.at_threshold(level)
        wrong = np.isin(self.kinds[level], [_KIND_INDEX[kind] for kind in kinds])
        gone = self.missed[level] & ('missed' in kinds)
        if video is not None:
            wrong &= self._found['video'] == video
            gone &= self._truth['video'] == video
        mendable = np.isin(self.kinds[level], [_KIND_INDEX[kind] for kind in MENDABLE])
        right = self._matched[0, level] & ~self._ignored[0, level]
        free = np.ones(len(gone), bool)
        free[self.objects[level][right]] = False
        better = np.flatnonzero(wrong & mendable)
        better = better[np.argsort(-self._found['score'][better], kind='stable')]
        better = better[free[self.objects[level][better]]]
        # The first, which is the best, of each object.
        targets, first = np.unique(self.objects[level][better], return_index=True)
        better = better[first]

        classes = self._found['class'].copy()
        classes[better] = self._truth['class'][targets]
        matched = other._matched.copy()
        matched[..., better] = True
        keep = ~wrong
        keep[better] = True
        other._found = {key: values[keep] for key, values in self._found.items()}
        other._found['class'] = classes[keep]
        other._matched, other._ignored = matched[..., keep], other._ignored[..., keep]
        other._truth = {key: values[..., ~gone] for key, values in self._truth.items()}
        return other

    def by_frames(self, ranges: Sequence[tuple[int, int]]) -> '_MendableEvaluation':
        """Evaluate anew, with ranges of numbers of frames in place of ranges of areas."""
        other = copy.copy(self)
        other.params = copy.copy(self.params)
        other.params.areaRng = [list(ends) for ends in ranges]
        for name in ('_annotated', '_predicted'):
            tracks = [
                dict(track, avg_area=np.count_nonzero(track['masks'].areas))
                for track in getattr(self, name)
            ]
            setattr(other, name, tracks)
        other.evaluate()
        return other

    def average_precisions(
        self, video_ids: Collection[int] | None = None, area: int = 0
    ) -> np.ndarray:
        """(T,) mean over classes and recalls at each threshold.

        If nothing is annotated it is -1, or 1 if that is because all of it was mended.
        """
        self.accumulate(video_ids)
        precision = self.eval['precision'][:, :, :, area, 0]  # (thresholds, recalls, classes)
        annotated = precision[0, 0] > -1
        if annotated.any():
            return precision[..., annotated].mean((1, 2))
        mended = len(self._truth['index']) < len(self._annotated)
        return np.full(len(precision), 1.0 if mended else -1.0)

    def average_precision(self) -> float:
        """Mean over the thresholds too."""
        return float(self.average_precisions().mean())

    def track_lengths(self) -> np.ndarray:
        """(m',) frames that show each object that counts."""
        lengths = [np.count_nonzero(track['masks'].areas) for track in self._annotated]
        return np.array(lengths)[~self._truth['crowd']]

    def error_counts(self) -> np.ndarray:
        """(videos, kinds) at the first threshold."""
        counts = np.zeros((len(self.params.vidIds), len(KINDS)), int)
        wrong = self.kinds[0] >= 0
        np.add.at(counts, (self._found['video'][wrong], self.kinds[0][wrong]), 1)
        np.add.at(counts, (self._truth['video'][self.missed[0]], _KIND_INDEX['missed']), 1)
        return counts

    def listed_errors(self, annotations: list[dict]) -> list[dict]:
        """Each error at the first threshold, by video."""
        ids = [annotation.get('id', place) for place, annotation in enumerate(annotations)]
        errors = [
            dict(
                kind=KINDS[self.kinds[0, i]],
                video_id=self.params.vidIds[self._found['video'][i]],
                result=int(self._found['index'][i]),
                annotation=ids[self.objects[0, i]] if self.objects[0, i] >= 0 else None,
            )
            for i in np.flatnonzero(self.kinds[0] >= 0).tolist()
        ] + [
            dict(kind='missed', video_id=annotation['video_id'], result=None, annotation=ids[place])
            for place, annotation in enumerate(annotations)
            if self.missed[0, place]
        ]
        return sorted(errors, key=lambda error: error['video_id'])


def _length_ranges(lengths: Collection[int]) -> list[tuple[int, int]]:
    """Up to three ranges, both ends included, with about as many of the lengths in each."""
    distinct, counts = np.unique(list(lengths), return_counts=True)
    below = counts.cumsum()[:-1]  # lengths below each place where a cut can be
    cuts = {
        int(np.abs(below - share * counts.sum()).argmin()) for share in (1 / 3, 2 / 3) if len(below)
    }
    starts = [0, *(cut + 1 for cut in sorted(cuts)), len(distinct)]
    return [(int(distinct[low]), int(distinct[high - 1])) for low, high in pairwise(starts)]


def _by_video_length(evaluation: _MendableEvaluation, videos: dict, tracks: Counter) -> list[dict]:
    lengths = {video_id: video_length(video) for video_id, video in videos.items()}
    rows = []
    for low, high in _length_ranges(lengths.values()):
        ids = {video_id for video_id, length in lengths.items() if low <= length <= high}
        row = dict(low=low, high=high, videos=len(ids), tracks=sum(tracks[i] for i in ids))
        rows.append(row | _both_ap(evaluation, ids))
    return rows


def _by_track_length(evaluation: _MendableEvaluation) -> list[dict]:
    lengths = evaluation.track_lengths()
    ranges = _length_ranges(lengths)
    evaluation = evaluation.by_frames(ranges)
    return [
        dict(low=low, high=high, tracks=int(((lengths >= low) & (lengths <= high)).sum()))
        | _both_ap(evaluation, area=area)
        for area, (low, high) in enumerate(ranges)
    ]


def _both_ap(evaluation: _MendableEvaluation, *args: Any, **kwargs: Any) -> dict[str, float]:
    precision = evaluation.average_precisions(*args, **kwargs)
    return dict(AP=float(np.mean(precision)), AP50=float(precision[0]))


def _by_video(
    evaluation: _MendableEvaluation, videos: dict, tracks: Counter, results: Counter, progress: bool
) -> list[dict]:
    counts = evaluation.error_counts()
    ap50 = evaluation.at_threshold(0).average_precision()
    rows = []
    ids = evaluation.params.vidIds
    for place, video_id in enumerate(shown(ids, progress, 'mending videos')):
        loss = 0.0
        if counts[place].any():
            loss = evaluation.mended(KINDS, 0, place).average_precision() - ap50
        rows.append(
            dict(
                video_id=video_id,
                name=video_name(videos[video_id]),
                loss=loss,
                **_both_ap(evaluation, {video_id}),
                tracks=tracks[video_id],
                results=results[video_id],
                errors=dict(zip(KINDS, counts[place].tolist(), strict=True)),
            )
        )
    return sorted(rows, key=lambda row: -row['loss'])


def video_name(video: dict) -> str:
    """The folder of a video's frames, or its id where no file names are."""
    names = video.get('file_names')
    return (names and os.path.dirname(names[0])) or str(video['id'])
