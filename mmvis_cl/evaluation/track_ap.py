"""Average precision of tracks: the YouTube-VIS evaluation, on files or on what was read from them.

The evaluation itself is ``TrackEvaluation``, with the figures of mmdet's ``YTVISeval``, which is
the official one. This module hands out all figures unrounded.
"""

import contextlib
import io
import os
import sys
from collections import Counter
from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np

from mmvis_cl.datasets.annotation_file import (
    check_annotations,
    is_crowd,
    load_annotations,
    mean_area_of,
)
from mmvis_cl.datasets.segmentations import RLECheck, masks_of_track
from mmvis_cl.errors import quoted
from mmvis_cl.structures.track_iou import SharedMasks

from .long_videos import LongVideos, long_video_ids
from .result_file import check_result, load_results
from .track_matching import TrackEvaluation, TrackMasks, shown

METRICS = (
    'AP',
    'AP50',
    'AP75',
    'AP_s',
    'AP_m',
    'AP_l',
    'AR1',
    'AR10',
    'AR100',
    'AR_s',
    'AR_m',
    'AR_l',
)
# Behind the name of a figure: of the short and the long videos alone, and the mean of the two.
SUBSETS = ('short', 'long', 'mean')
# Results that take about a second: from here on a progress bar is worth it.
MANY = 5000
_ENDS = {'all': '', **{subset: f'_{subset}' for subset in SUBSETS}}


def evaluate_tracks(
    results: list[dict] | str | os.PathLike,
    annotations: dict | str | os.PathLike,
    details: bool = False,
    long_videos: LongVideos | None = None,
    progress: bool | None = None,
) -> dict:
    """Score tracks by the official YouTube-VIS evaluation.

    Args:
        results: Tracks in the format of a YouTube-VIS submission, or a ``.json`` or ``.zip`` file
            with them: a list of dicts with ``video_id``, ``category_id``, ``score`` and
            ``segmentations`` (for each frame of the video an RLE of the video's size, or None).
            It may be empty.
        annotations: Content or path of an annotation file in the format of YouTube-VIS.
        details: Add ``per_class`` (for each class name AP, AP50, AP75, AR1, AR10, and the
            number of annotated ``tracks`` and of ``results``), ``num_videos``, ``num_tracks`` and
            ``num_results``; with ``long_videos`` also ``num_videos_short``, ``num_tracks_short``
            and so on.
        long_videos: Which videos are long, see :func:`long_video_ids`. Short and long ones are
            then scored apart as well, as YouTube-VIS 2022 does.
        progress: Show bars on stderr; by default if that is a terminal and the results are many.

    Returns:
        The figures named in ``METRICS``, 0 to 1, or -1 where nothing is annotated (for instance
        AP_l without a large object). Sizes are by the mean area of a track: small up to 128^2,
        large from 256^2 pixels. With ``long_videos`` also ``AP_short``, ``AP_long`` and
        ``AP_mean``, the mean of the two, which is the score of 2022, and likewise for each of
        ``METRICS``. A mean is -1 if one of its two is.

    Raises:
        InputError: If a file can't be read or does not hold what it should, or if results and
            annotations do not fit together.
    """
    tracks = checked_tracks(results, annotations, progress)
    return score_tracks(tracks, details, long_videos, progress)


class CheckedTracks(NamedTuple):
    """Results and annotations that fit together.

    Attributes:
        annotations (dict): content of the annotation file.
        name (str): of that file.
        videos (dict[int | str, dict]): by id.
        categories (dict[int | str, str]): names by id.
        annotated (list[dict]): of each annotation ``video_id``, ``category_id``, ``masks``
            (``TrackMasks``), ``iscrowd`` and, if the file has areas, ``avg_area`` in pixels.
        predicted (list[dict]): of each result ``video_id``, ``category_id``, ``masks`` and
            ``score``.
    """

    annotations: dict
    name: str
    videos: dict
    categories: dict
    annotated: list
    predicted: list


def checked_tracks(
    results: list[dict] | str | os.PathLike,
    annotations: dict | str | os.PathLike,
    progress: bool | None = None,
) -> CheckedTracks:
    """Read and check what :func:`evaluate_tracks` scores.

    Args:
        results: As there.
        annotations: As there.
        progress: As there.

    Returns:
        The tracks; equal lists of masks are one object.

    Raises:
        InputError: As there.
    """
    results_name, name = 'results', 'annotations'
    if isinstance(results, (str, os.PathLike)):
        results_name, results = str(results), load_results(results)
    if isinstance(annotations, (str, os.PathLike)):
        name, annotations = str(annotations), load_annotations(annotations)
    else:
        check_annotations(annotations, name)
    videos = {video['id']: video for video in annotations['videos']}
    categories = {category['id']: category['name'] for category in annotations['categories']}
    if progress is None:
        progress = sys.stderr.isatty() and len(results) >= MANY
    shared, check = SharedMasks(), RLECheck()

    def checked(track: dict, where: str) -> dict:
        video = videos[track['video_id']]
        masks = shared.get(
            track['segmentations'],
            lambda: TrackMasks(
                masks_of_track(
                    track['segmentations'], video['height'], video['width'], where, check
                )
            ),
            scope=video['id'],
        )
        return dict(video_id=video['id'], category_id=track['category_id'], masks=masks)

    predicted = []
    for index, track in enumerate(shown(results, progress, 'checking results')):
        where = check_result(track, f'{results_name}: entry {index}', videos, categories)
        predicted.append(checked(track, where) | dict(score=float(track['score'])))
    annotated = []
    for index, track in enumerate(annotations['annotations']):
        of = f'annotation {quoted(track["id"])}' if 'id' in track else f'annotation {index}'
        where = f'{name}: {of} (video {quoted(track["video_id"])})'
        area = mean_area_of(track)
        annotated.append(
            checked(track, where)
            | dict(iscrowd=is_crowd(track, where))
            | ({} if area is None else dict(avg_area=area))
        )
    check.finish()
    return CheckedTracks(annotations, name, videos, categories, annotated, predicted)


def score_tracks(
    tracks: CheckedTracks,
    details: bool = False,
    long_videos: LongVideos | None = None,
    progress: bool | None = None,
) -> dict:
    """What :func:`evaluate_tracks` does with tracks that are checked.

    Args:
        tracks: From :func:`checked_tracks`.
        details: As there.
        long_videos: As there.
        progress: As there.

    Returns:
        As there.

    Raises:
        InputError: ``long_videos`` does not fit.
    """
    annotations, _, videos, categories, annotated, predicted = tracks
    if progress is None:
        progress = sys.stderr.isatty() and len(predicted) >= MANY
    evaluation = TrackEvaluation(videos, categories, annotated, predicted)
    evaluation.evaluate(progress)
    parts = {}
    if long_videos is not None:
        long_ids = long_video_ids(annotations, long_videos)
        parts = dict(short=set(videos) - long_ids, long=long_ids)
    scores: dict[str, Any] = {
        f'{name}_{part}': value
        for part, video_ids in parts.items()
        for name, value in _figures(evaluation, video_ids).items()
    }
    for name in METRICS if parts else ():
        both = scores[f'{name}_short'], scores[f'{name}_long']
        scores[f'{name}_mean'] = -1.0 if min(both) < 0 else sum(both) / 2
    scores = _figures(evaluation) | scores
    if details:
        num_tracks, num_results = (
            Counter(track['category_id'] for track in tracks) for tracks in (annotated, predicted)
        )
        scores['per_class'] = {
            categories[category_id]: _class_scores(evaluation.eval, index)
            | dict(tracks=num_tracks[category_id], results=num_results[category_id])
            for index, category_id in enumerate(evaluation.params.catIds)
        }
        scores.update(num_videos=len(videos), num_tracks=len(annotated), num_results=len(predicted))
        for part, video_ids in parts.items():
            true, results = _tracks_of(video_ids, annotated, predicted)
            scores[f'num_videos_{part}'] = len(video_ids)
            scores[f'num_tracks_{part}'] = len(true)
            scores[f'num_results_{part}'] = len(results)
    return scores


def format_scores(scores: dict) -> str:
    """The figures of ``METRICS`` as a table; '-' where nothing is annotated.

    Args:
        scores: From :func:`evaluate_tracks`, or some of them.

    Returns:
        A line of names and one of figures; with short and long videos a named line for all videos,
        the short, the long, and the mean of the latter two.
    """
    rows = {label: [scores.get(f'{name}{end}') for name in METRICS] for label, end in _ENDS.items()}
    shown = {label: row for label, row in rows.items() if any(cell is not None for cell in row)}
    columns = [i for i in range(len(METRICS)) if any(row[i] is not None for row in shown.values())]
    lines = [('', [METRICS[i] for i in columns])]
    for label, row in shown.items():
        values = [row[i] for i in columns]
        cells = ['' if v is None else '-' if v < 0 else f'{v:.3f}' for v in values]
        lines.append((label, cells))
    width = 5 if len(shown) > 1 else 0
    return '\n'.join(
        label.ljust(width)[:width] + ' '.join(f'{cell:>6}' for cell in cells)
        for label, cells in lines
    )


def _figures(
    evaluation: TrackEvaluation, video_ids: Collection[int] | None = None
) -> dict[str, float]:
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.accumulate(video_ids)
        evaluation.summarize()
    return {name: float(value) for name, value in zip(METRICS, evaluation.stats, strict=True)}


def _tracks_of(video_ids: set[int], *groups: list[dict]) -> tuple[list[dict], ...]:
    return tuple([track for track in tracks if track['video_id'] in video_ids] for tracks in groups)


def _class_scores(evaluation: dict, index: int) -> dict:
    # precision: (IoU thresholds, recalls, classes, areas, limits of 1, 10, 100 results a video)
    precision = evaluation['precision'][:, :, index, 0, 2]
    recall = evaluation['recall'][:, index, 0]
    return dict(
        AP=float(np.mean(precision)),
        AP50=float(np.mean(precision[0])),
        AP75=float(np.mean(precision[5])),
        AR1=float(np.mean(recall[:, 0])),
        AR10=float(np.mean(recall[:, 1])),
    )
