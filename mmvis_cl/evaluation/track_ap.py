"""Average precision of tracks: the YouTube-VIS evaluation, on files or on what was read from them.

The evaluation itself is ``TrackEvaluation``, with the figures of mmdet's ``YTVISeval``, which is
the official one. This module reads and checks its input, and hands out all figures unrounded.
"""

import contextlib
import io
import json
import math
import os
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from numbers import Real
from pathlib import Path

import numpy as np
from pycocotools import mask as mask_utils

from mmvis_cl.errors import InputError

from .long_videos import LongVideos, long_video_ids
from .track_iou import SharedMasks
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
_MANY = 5000
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
    results, results_name = _content(results, load_results, 'results')
    annotations, annotations_name = _content(annotations, load_annotations, 'annotations')
    videos = {video['id']: video for video in annotations['videos']}
    categories = {category['id']: category['name'] for category in annotations['categories']}
    if progress is None:
        progress = sys.stderr.isatty() and len(results) >= _MANY
    shared = SharedMasks()
    predicted = []
    for index, track in enumerate(shown(results, progress, 'checking results')):
        where = f'{results_name}: entry {index}'
        checked = _checked_track(track, where, videos, categories, shared)
        predicted.append(checked | dict(score=_checked_score(track, where)))
    annotated = [
        _checked_track(track, f'{annotations_name}: annotation {index}', videos, categories, shared)
        | dict(iscrowd=track.get('iscrowd', 0))
        for index, track in enumerate(annotations['annotations'])
    ]
    for track, annotation in zip(annotated, annotations['annotations'], strict=True):
        if 'areas' in annotation:
            seen = [area for area in annotation['areas'] if area]
            track['avg_area'] = float(np.mean(seen)) if seen else 0.0

    evaluation = TrackEvaluation(videos, categories, annotated, predicted)
    evaluation.evaluate(progress)
    parts = {}
    if long_videos is not None:
        long_ids = long_video_ids(annotations, long_videos)
        parts = dict(short=set(videos) - long_ids, long=long_ids)
    scores = {
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
            tracks, results = _tracks_of(video_ids, annotated, predicted)
            scores[f'num_videos_{part}'] = len(video_ids)
            scores[f'num_tracks_{part}'] = len(tracks)
            scores[f'num_results_{part}'] = len(results)
    return scores


def load_results(path: str | os.PathLike) -> list[dict]:
    """Read a result file: ``.json``, or a submission ``.zip`` with ``results.json`` inside.

    Raises:
        InputError: If the file is missing, broken or not a list of tracks.
    """
    path = Path(path)
    text = _read(path)
    if path.suffix == '.zip':
        try:
            with zipfile.ZipFile(io.BytesIO(text)) as archive:
                text = archive.read('results.json')
        except KeyError:
            raise InputError(
                f'{path}: no results.json inside; a submission has it at the top level'
            ) from None
        except zipfile.BadZipFile as error:
            raise InputError(f'{path}: not a usable zip file ({error})') from None
    results = _parse(path, text)
    if not isinstance(results, list) or not all(isinstance(track, dict) for track in results):
        raise InputError(
            f'{path}: not a YouTube-VIS result file, which is a list of tracks '
            '(video_id, category_id, score, segmentations)'
        )
    return results


def load_annotations(path: str | os.PathLike, need_tracks: bool = True) -> dict:
    """Read an annotation file in the format of YouTube-VIS.

    Args:
        path: The JSON file.
        need_tracks: Whether a file without annotated tracks is an error.

    Raises:
        InputError: If the file is missing or broken, or has no videos, categories or annotations.
    """
    path = Path(path)
    annotations = _parse(path, _read(path))
    keys = ['videos', 'categories'] + ['annotations'] * need_tracks
    for key in keys:
        if not isinstance(annotations, dict) or not isinstance(annotations.get(key), list):
            hint = (
                ' (the validation and test files of YouTube-VIS come without: use format_only and '
                'submit the zip)'
                if key == 'annotations'
                else ''
            )
            raise InputError(f"{path}: no list '{key}', so not a YouTube-VIS annotation file{hint}")
    return annotations


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


def as_rle(segmentation: dict | list, height: int, width: int) -> dict:
    """Compressed RLE of a segmentation as COCO has it: polygons, a list of counts, or RLE."""
    if isinstance(segmentation, list):
        return mask_utils.merge(mask_utils.frPyObjects(segmentation, height, width))
    if isinstance(segmentation['counts'], list):
        return mask_utils.frPyObjects(segmentation, height, width)
    return segmentation


def _figures(
    evaluation: TrackEvaluation, video_ids: Collection[int] | None = None
) -> dict[str, float]:
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.accumulate(video_ids)
        evaluation.summarize()
    return {name: float(value) for name, value in zip(METRICS, evaluation.stats, strict=True)}


def _tracks_of(video_ids: set[int], *groups: list[dict]) -> tuple[list[dict], ...]:
    return tuple([track for track in tracks if track['video_id'] in video_ids] for tracks in groups)


def _content(source: object, load: Callable, name: str) -> tuple:
    if isinstance(source, (str, os.PathLike)):
        return load(source), str(source)
    return source, name


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f'{path}: no such file') from None
    except OSError as error:
        raise InputError(f'{path}: can not be read ({error.strerror})') from None


def _parse(path: Path, text: bytes) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f'{path}: not valid JSON ({error}); is the file whole?') from None


def _checked_track(
    track: dict, where: str, videos: dict, categories: dict, shared: SharedMasks
) -> dict:
    """What ``TrackEvaluation`` looks at."""
    for key in ('video_id', 'category_id', 'segmentations'):
        if key not in track:
            raise InputError(f"{where}: has no '{key}'")
    video = videos.get(track['video_id'])
    if video is None:
        raise InputError(
            f'{where}: video_id {track["video_id"]} is not in the annotations; '
            'were the results made from another set of videos?'
        )
    where = f'{where} (video {video["id"]})'
    if track['category_id'] not in categories:
        raise InputError(
            f'{where}: category_id {track["category_id"]} is not in the annotations, which have '
            f'{_shortened(sorted(categories))}; were the results made with other classes?'
        )
    height, width = video['height'], video['width']
    length = video.get('length', len(video.get('file_names', ())))
    if len(track['segmentations']) != length:
        raise InputError(
            f'{where}: {len(track["segmentations"])} segmentations, but the video has {length} '
            'frames; there must be one for each frame, null where the object is unseen'
        )

    def checked_masks() -> TrackMasks:
        size = [height, width]
        rles = [
            rle
            if not rle or (type(rle) is dict and rle['size'] == size and type(rle['counts']) is str)
            else _checked_rle(rle, height, width, f'{where}, frame {frame_id}')
            for frame_id, rle in enumerate(track['segmentations'])
        ]
        return TrackMasks(rles)

    masks = shared.get(track['segmentations'], checked_masks, scope=video['id'])
    return dict(video_id=video['id'], category_id=track['category_id'], masks=masks)


def _checked_rle(segmentation: dict | list, height: int, width: int, where: str) -> dict:
    if isinstance(segmentation, dict) and list(segmentation['size']) != [height, width]:
        raise InputError(
            f'{where}: the mask is {_size(segmentation["size"])}, but the video is '
            f'{_size((height, width))} (height x width); masks must have the size of the original '
            'frames'
        )
    return as_rle(segmentation, height, width)


def _checked_score(track: dict, where: str) -> float:
    score = track.get('score')
    if not isinstance(score, Real) or not math.isfinite(score):
        raise InputError(f'{where}: the score is {score!r}, not a finite number')
    return float(score)


def _size(size: Sequence[int]) -> str:
    return 'x'.join(str(side) for side in size)


def _shortened(values: list) -> str:
    text = ', '.join(str(value) for value in values[:8])
    return text if len(values) <= 8 else f'{text} ... {values[-1]}'


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
