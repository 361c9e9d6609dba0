"""All figures equal those of mmdet's evaluation, which compares one pair after another."""

import contextlib
import io

import numpy as np
import pytest
from mmdet.evaluation.functional import YTVIS, YTVISeval
from random_tracks import CLASSES, random_set

from mmvis_cl.evaluation import evaluate_tracks, track_matching
from mmvis_cl.evaluation.track_ap import METRICS
from mmvis_cl.evaluation.track_matching import TrackEvaluation, TrackMasks, match_tracks
from mmvis_cl.structures import encode_masks
from mmvis_cl.structures.track_runs import TrackRuns


def mmdet_evaluation(annotations, results):
    def copies(tracks):
        return [dict(t, segmentations=list(t['segmentations'])) for t in tracks]

    with contextlib.redirect_stdout(io.StringIO()):
        truth = YTVIS(dict(annotations, annotations=copies(annotations['annotations'])))
        evaluation = YTVISeval(truth, truth.loadRes(copies(results)))
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def assert_same_figures(annotations, results):
    expected = mmdet_evaluation(annotations, results)
    scores = evaluate_tracks(results, annotations, details=True)
    found = [scores[name] for name in METRICS]
    np.testing.assert_allclose(found, expected.stats, rtol=0, atol=1e-12)
    precision, recall = expected.eval['precision'], expected.eval['recall']
    for k, category in enumerate(CLASSES):
        of_class = scores['per_class'][category['name']]
        np.testing.assert_allclose(
            [of_class[name] for name in ('AP', 'AP50', 'AP75', 'AR1', 'AR10')],
            [
                precision[:, :, k, 0, 2].mean(),
                precision[0, :, k, 0, 2].mean(),
                precision[5, :, k, 0, 2].mean(),
                *recall[:, k, 0, :2].mean(0),
            ],
            rtol=0,
            atol=1e-12,
        )
    return expected


def our_curves(annotations, results):
    """Precision and recall of all classes, ranges of areas and limits."""

    def tracks(entries):
        for entry in entries:
            masks = TrackMasks(entry['segmentations'])
            yield dict(entry, masks=masks, avg_area=masks.mean_area)

    evaluation = TrackEvaluation(
        [video['id'] for video in annotations['videos']],
        [category['id'] for category in annotations['categories']],
        list(tracks(annotations['annotations'])),
        list(tracks(results)),
    )
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation.eval


@pytest.mark.parametrize('crowds', [0, 0.3])
@pytest.mark.parametrize('seed', range(4))
def test_figures_of_random_sets(seed, crowds):
    annotations, results = random_set(seed, crowds=crowds)
    expected = assert_same_figures(annotations, results)
    ours = our_curves(annotations, results)
    np.testing.assert_allclose(ours['precision'], expected.eval['precision'], rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours['recall'], expected.eval['recall'], rtol=0, atol=1e-12)
    # The sets have what they should: matches, mistakes, an empty class, all ranges of areas.
    stats = expected.stats
    assert 0 < stats[2] < stats[1] < 1
    assert (stats[3:6] >= 0).all()
    assert (expected.eval['recall'][:, 4] == -1).all()
    scores = [(track['video_id'], track['category_id'], track['score']) for track in results]
    assert len(set(scores)) < len(scores)


def test_only_the_best_100_of_a_video_and_class_count():
    annotations, results = random_set(5, videos=2, results=300)
    counts = [sum(t['category_id'] == k for t in results) for k in (2, 5, 8)]
    assert min(counts) > 110
    assert_same_figures(annotations, results)


def test_nothing_annotated_in_any_class_of_the_results():
    annotations, results = random_set(6)
    annotations['annotations'] = [
        track for track in annotations['annotations'] if track['category_id'] == 8
    ]
    results = [track for track in results if track['category_id'] != 8]
    expected = assert_same_figures(annotations, results)
    assert expected.stats[0] == 0


def test_annotated_areas_count_and_not_those_of_the_masks():
    annotations, results = random_set(7)
    before = mmdet_evaluation(annotations, results).stats
    rng = np.random.default_rng(7)
    for track in annotations['annotations']:
        track['areas'] = [area and float(rng.uniform(1, 300**2)) for area in track['areas']]
    expected = assert_same_figures(annotations, results)
    assert abs(expected.stats[3:6] - before[3:6]).max() > 0.01


def test_videos_may_be_chosen_after_matching():
    annotations, results = random_set(8)
    length = {10: 1, 11: 1, 12: 9, 13: 9}
    for video in annotations['videos']:
        video['long'] = length[video['id']] == 9
    scores = evaluate_tracks(results, annotations, long_videos='long')
    for part, ids in (('short', (10, 11)), ('long', (12, 13))):
        expected = mmdet_evaluation(
            dict(
                annotations,
                videos=[v for v in annotations['videos'] if v['id'] in ids],
                annotations=[t for t in annotations['annotations'] if t['video_id'] in ids],
            ),
            [t for t in results if t['video_id'] in ids],
        )
        found = [scores[f'{name}_{part}'] for name in METRICS]
        np.testing.assert_allclose(found, expected.stats, rtol=0, atol=1e-12)


def test_tracks_of_one_video_and_class_are_compared(monkeypatch):
    """Alone: the videos differ in size and length, and each has a track of each class."""
    compared, shared = [], TrackRuns.shared

    def spy(runs, *pair):
        compared.append(pair)
        return shared(runs, *pair)

    monkeypatch.setattr(TrackRuns, 'shared', spy)
    rng = np.random.default_rng(10)
    sizes = {1: (20, 30, 3), 2: (40, 10, 7), 3: (8, 9, 1)}
    results = []
    for video_id, (height, width, length) in sizes.items():
        for category in CLASSES:
            dense = rng.random((length, height, width)) < 0.5
            results.append(
                dict(
                    video_id=video_id,
                    category_id=category['id'],
                    score=rng.random(),
                    segmentations=encode_masks(dense),
                )
            )
    annotations = dict(
        videos=[
            dict(id=video_id, height=height, width=width, length=length)
            for video_id, (height, width, length) in sizes.items()
        ],
        categories=CLASSES,
        annotations=[dict(t, id=i, iscrowd=0) for i, t in enumerate(results, 1)],
    )
    assert evaluate_tracks(results, annotations)['AP'] == pytest.approx(1)
    assert len(compared) == len(results)


def test_matching_by_hand():
    iou = np.array([[0.6, 0.7, 0.7], [0.9, 0.8, 0.0], [0.9, 0.0, 0.8]])
    thresholds = np.array([0.5, 0.75])
    ignored = np.array([[False, False, False], [False, True, True]])
    matched, to_ignored = match_tracks(iou, thresholds, ignored, np.zeros(3, bool))
    # All count: the first takes the last of its best, the second its best, none is left for the
    # third. At 0.75 the first has none.
    assert matched[0].tolist() == [[True, True, False], [False, True, True]]
    assert not to_ignored[0].any()
    # Only annotation 0 counts: the first takes it before better ones that are ignored.
    assert matched[1].tolist() == [[True, True, True], [False, True, True]]
    assert to_ignored[1].tolist() == [[False, True, True], [False, False, True]]
    # A crowd is taken again and again.
    iou = np.full((3, 1), 0.9)
    for crowd, expected in ((True, [True] * 3), (False, [True, False, False])):
        matched, to_ignored = match_tracks(
            iou, thresholds, np.array([[True]]), np.array([crowd], bool)
        )
        assert matched[0].tolist() == to_ignored[0].tolist() == [expected] * 2


def test_the_bar_is_shown_if_asked_for(monkeypatch, capsys):
    annotations, results = random_set(9, videos=2)
    expected = evaluate_tracks(results, annotations)
    assert capsys.readouterr() == ('', '')
    bars = []

    def spy(items, description, **kwargs):
        bars.append(description)
        assert kwargs['console'].stderr
        return items

    monkeypatch.setattr(track_matching, 'progress_of', spy)
    our_curves(annotations, results)
    assert bars == []
    assert evaluate_tracks(results, annotations, progress=True) == expected
    assert bars == ['checking results', 'comparing tracks']
    # By default only on a terminal, and for many results.
    monkeypatch.setattr('sys.stderr.isatty', lambda: True)
    evaluate_tracks(results, annotations)
    assert len(bars) == 2
    monkeypatch.setattr('mmvis_cl.evaluation.track_ap.MANY', len(results))
    evaluate_tracks(results, annotations)
    assert len(bars) == 4
