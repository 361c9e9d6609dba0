"""How well identities last, as the field measures it: HOTA, IDF1, CLEAR MOT, J and F.

Each is computed by the package ``trackeval``, which its authors' benchmarks use; this module brings
tracks into its form. Of each class alone, as in AP, but for J and F, which know no classes.
"""

import importlib
from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as mask_utils
from scipy.optimize import linear_sum_assignment

from mmvis_cl.errors import InputError

from .track_ap import CheckedTracks


class Measure(NamedTuple):
    """A measure of ``trackeval``.

    Attributes:
        metric: Its class there.
        fields: Our names of figures, and those there.
        source: The paper.
    """

    metric: str
    fields: dict[str, str]
    source: str


MEASURES = {
    'hota': Measure(
        'HOTA',
        dict(HOTA='HOTA', DetA='DetA', AssA='AssA', LocA='LocA'),
        'Luiten et al., IJCV 2021',
    ),
    'identity': Measure(
        'Identity', dict(IDF1='IDF1', IDP='IDP', IDR='IDR'), 'Ristani et al., ECCV 2016 workshops'
    ),
    'clear': Measure(
        'CLEAR',
        dict(MOTSA='MOTA', sMOTSA='sMOTA', IDSW='IDSW', Frag='Frag'),
        'Bernardin and Stiefelhagen, 2008; for masks Voigtlaender et al., CVPR 2019',
    ),
    'jf': Measure(
        'JAndF', {'J&F': 'J&F', 'J': 'J-Mean', 'F': 'F-Mean'}, 'Perazzi et al., CVPR 2016'
    ),
}
COUNTS = 'IDSW', 'Frag'
_OF_MASKS = 'MOTSA', 'sMOTSA'  # of boxes: MOTA, sMOTA


def figure_names(measures: Iterable[str], boxes: bool = False) -> list[str]:
    """The names of the figures of some measures.

    Args:
        measures: Some of :data:`MEASURES`.
        boxes: Whether boxes are compared in place of masks.
    """
    return [_shown(name, boxes) for key in measures for name in MEASURES[key].fields]


def check_measures(measures: Collection[str], boxes: bool = False) -> None:
    """Refuse measures that there are not, or that cannot be computed here.

    Args:
        measures: Names of measures.
        boxes: Whether boxes are to be compared.

    Raises:
        InputError: A name is unknown, ``trackeval`` is not installed, or J and F of boxes are asked
            for, which are measures of masks.
    """
    unknown = sorted(set(measures) - set(MEASURES))
    if unknown:
        known = ', '.join(['ap', *MEASURES])
        raise InputError(f'metrics: there is no {unknown[0]!r}; known are {known}')
    if boxes and 'jf' in measures:
        raise InputError('metrics: jf measures masks; leave it out, or compare masks')
    if measures:
        _trackeval()


def identity_measures(
    tracks: CheckedTracks,
    measures: Collection[str] = ('hota', 'identity', 'clear'),
    score_thr: float = 0.0,
    boxes: bool = False,
) -> dict[str, Any]:
    """Measure the identities of tracks.

    All predicted tracks count, however low their scores are, for these measures know no order of
    tracks: what a user would see is what scores at least ``score_thr``. Predictions that match
    nothing in a frame and lie for more than half in annotated crowds do not count there, as in
    KITTI-MOTS.

    Args:
        tracks: From :func:`~mmvis_cl.evaluation.track_ap.checked_tracks`.
        measures: Some of :data:`MEASURES`.
        score_thr: Tracks with a lower score are left out.
        boxes: Compare the boxes around the masks.

    Returns:
        The figures, 0 to 1 (MOTSA and sMOTSA from minus infinity), or -1 where nothing is
        annotated: the mean of all annotated classes, with ``_all`` behind their names of all
        objects alike, whatever their class. IDSW, identity switches, and Frag, fragmentations, are
        counts of all classes. ``per_class`` has them for each annotated class.

    Raises:
        InputError: See :func:`check_measures`.
    """
    check_measures(measures, boxes)
    annotated, predicted = defaultdict(list), defaultdict(list)
    for track in tracks.annotated:
        annotated[track['video_id'], track['category_id']].append(track)
    for track in tracks.predicted:
        if track['score'] >= score_thr:
            predicted[track['video_id'], track['category_id']].append(track)
    sequences: dict[object, dict[object, dict]] = defaultdict(dict)
    for video_id, category_id in sorted({*annotated, *predicted}, key=str):
        both = video_id, category_id
        data = _sequence(annotated[both], predicted[both], boxes)
        if data['num_gt_dets'] or data['num_tracker_dets']:
            sequences[category_id][str(video_id)] = data
    figures: dict[str, Any] = {}
    per_class: dict[str, dict[str, Any]] = {
        tracks.categories[category_id]: {}
        for category_id, videos in sequences.items()
        if any(data['num_gt_dets'] for data in videos.values())
    }
    for key in measures:
        if key == 'jf':
            figures |= _jf(tracks, score_thr)
            continue
        metric = _metric(key)
        of_class = {
            tracks.categories[category_id]: metric.combine_sequences(
                {video: metric.eval_sequence(data) for video, data in videos.items()}
            )
            for category_id, videos in sequences.items()
        }
        for name, found in of_class.items():
            if name in per_class:
                per_class[name] |= _figures(key, found, boxes)
        alike = _figures(key, metric.combine_classes_det_averaged(of_class), boxes)
        for name, value in alike.items():
            if name in COUNTS:
                figures[name] = value
                continue
            of_each = [found[name] for found in per_class.values()]
            figures[name] = float(np.mean(of_each)) if of_each else -1.0
            figures[f'{name}_all'] = value if of_each else -1.0
    return figures | dict(per_class=per_class)


def _jf(tracks: CheckedTracks, score_thr: float) -> dict[str, float]:
    """J and F of all objects, whatever their class, matched in each video as DAVIS does."""
    metric = _metric('jf')
    found = {}
    for video_id in tracks.videos:
        annotated, predicted = (
            [track for track in part if track['video_id'] == video_id]
            for part in (tracks.annotated, tracks.predicted)
        )
        seen = [track for track in predicted if track['score'] >= score_thr]
        data = _sequence(annotated, seen, boxes=False)
        if data['num_gt_dets']:
            found[str(video_id)] = metric.eval_sequence(data)
    if not found:
        return dict.fromkeys(MEASURES['jf'].fields, -1.0)
    return _figures('jf', metric.combine_sequences(found), boxes=False)


def _sequence(annotated: list[dict], predicted: list[dict], boxes: bool) -> dict[str, Any]:
    """Tracks of a video in the form of ``trackeval``: ids, masks and overlaps of each frame."""
    crowds = [track['masks'].rles for track in annotated if track['iscrowd']]
    objects = [track['masks'].rles for track in annotated if not track['iscrowd']]
    results = [track['masks'].rles for track in predicted]
    length = max((len(rles) for rles in (*objects, *results)), default=0)
    data: dict[str, Any] = defaultdict(list)
    for frame in range(length):
        (gt_ids, gt), (ids, found) = _present(objects, frame), _present(results, frame)
        iou = _overlaps(gt, found, boxes)
        crowd = [rles[frame] for rles in crowds if rles[frame] is not None]
        if crowd and found:
            kept = ~_in_a_crowd(iou, found, crowd)
            ids, iou = ids[kept], iou[:, kept]
            found = [rle for rle, keep in zip(found, kept, strict=True) if keep]
        data['gt_ids'].append(gt_ids)
        data['tracker_ids'].append(ids)
        data['similarity_scores'].append(iou)
        data['gt_dets'].append(gt)
        data['tracker_dets'].append(found)
    for part in ('gt', 'tracker'):
        of_frames = data[f'{part}_ids']
        known, flat = np.unique(np.concatenate([*of_frames, np.zeros(0, int)]), return_inverse=True)
        ends = np.cumsum([len(ids) for ids in of_frames])
        data[f'{part}_ids'] = np.split(flat.astype(int), ends[:-1]) if length else []
        data[f'num_{part}_ids'], data[f'num_{part}_dets'] = len(known), len(flat)
    return dict(data, num_timesteps=length)


def _present(tracks: list[list[dict | None]], frame: int) -> tuple[np.ndarray, list[dict]]:
    """Indices and masks of the tracks that are seen in a frame; an empty mask is not seen."""
    there = [
        (index, rle)
        for index, rles in enumerate(tracks)
        if (rle := rles[frame]) is not None and mask_utils.area(rle)
    ]
    return np.array([index for index, _ in there], int), [rle for _, rle in there]


def _overlaps(annotated: list[dict], predicted: list[dict], boxes: bool) -> np.ndarray:
    """IoU (annotated, predicted)."""
    if not annotated or not predicted:
        return np.zeros((len(annotated), len(predicted)))
    shapes = [mask_utils.toBbox(rles) if boxes else rles for rles in (annotated, predicted)]
    return np.asarray(mask_utils.iou(*shapes, [0] * len(predicted)))


def _in_a_crowd(iou: np.ndarray, predicted: list[dict], crowd: list[dict]) -> np.ndarray:
    """Which predictions of a frame match no object and lie for more than half in a crowd."""
    rows, columns = linear_sum_assignment(np.where(iou > 0.5, iou, 0), maximize=True)
    free = np.ones(len(predicted), bool)
    free[columns[iou[rows, columns] > 0.5]] = False
    region = mask_utils.merge(crowd)
    return free & (np.asarray(mask_utils.iou(predicted, [region], [1]))[:, 0] > 0.5)


def _figures(key: str, found: dict[str, Any], boxes: bool) -> dict[str, Any]:
    """Figures of a measure by our names; HOTA's are means of their thresholds."""
    return {
        _shown(name, boxes): int(found[field]) if name in COUNTS else float(np.mean(found[field]))
        for name, field in MEASURES[key].fields.items()
    }


def _shown(name: str, boxes: bool) -> str:
    return name.replace('MOTSA', 'MOTA') if boxes and name in _OF_MASKS else name


def _metric(key: str) -> Any:
    metrics, name = _trackeval(), MEASURES[key].metric
    return metrics.CLEAR(dict(PRINT_CONFIG=False)) if name == 'CLEAR' else getattr(metrics, name)()


def _trackeval() -> Any:
    try:
        return importlib.import_module('trackeval.metrics')
    except ImportError as error:
        raise InputError(
            f'the package trackeval, which measures identities, cannot be imported ({error}); '
            "install it by pip install 'mmvis_cl[measures]'"
        ) from error


def format_measures(figures: dict[str, Any]) -> str:
    """The figures of :func:`identity_measures` as a table; '-' where nothing is annotated.

    Args:
        figures: From there.

    Returns:
        A line of names, one of the means of all classes, and one of all objects alike.
    """
    names = [name for name in figures if name != 'per_class' and not name.endswith('_all')]
    width = max(6, *(len(name) for name in names))
    lines = [('', names), ('', [_cell(figures[name]) for name in names])]
    if any(f'{name}_all' in figures for name in names):
        lines.append(('all', [_cell(figures.get(f'{name}_all')) for name in names]))
    first = 4 if len(lines) > 2 else 0
    return '\n'.join(
        label.ljust(first) + ' '.join(f'{cell:>{width}}' for cell in cells)
        for label, cells in lines
    )


def _cell(value: float | None) -> str:
    if value is None:
        return ''
    return str(value) if isinstance(value, int) else '-' if value == -1 else f'{value:.3f}'
