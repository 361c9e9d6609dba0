"""Merging of tracks, against figures worked out by hand and a slow reference on dense masks."""

import copy

import numpy as np
import pycocotools.mask as mask_util
import pytest

from mmvis_cl.errors import InputError
from mmvis_cl.evaluation import merge_tracks, spatio_temporal_iou
from mmvis_cl.structures import encode_masks
from mmvis_cl.structures.track_runs import TrackRuns

SIZE = (6, 10)


def masks_of(*boxes):
    """A frame for each box (x1, y1, x2, y2), None where there is none."""
    segmentations = []
    for box in boxes:
        mask = np.zeros((1, *SIZE), bool)
        if box is not None:
            mask[0, box[1] : box[3], box[0] : box[2]] = True
        segmentations.append(encode_masks(mask)[0] if box is not None else None)
    return segmentations


def track(score, *boxes, category_id=1):
    return dict(category_id=category_id, score=score, segmentations=masks_of(*boxes))


def dense(segmentations):
    return np.stack(
        [
            np.zeros(SIZE, bool) if rle is None else mask_util.decode(rle) > 0
            for rle in segmentations
        ]
    )


def plain(tracks):
    """Without the members, to compare with what went in."""
    return [{key: t[key] for key in ('category_id', 'score', 'segmentations')} for t in tracks]


def by_score(tracks):
    return sorted(tracks, key=lambda t: (-t['score'], str(t)))


def random_run(rng, tracks=8, frames=5):
    """Rectangles near one another, some unseen, three classes."""
    run = []
    for _ in range(tracks):
        boxes = [
            None if rng.random() < 0.2 else (x, y, x + rng.integers(2, 6), y + rng.integers(2, 5))
            for x, y in zip(rng.integers(0, 3, frames), rng.integers(0, 3, frames), strict=True)
        ]
        run.append(track(float(rng.uniform(0.05, 1)), *boxes, category_id=int(rng.integers(3))))
    return run


def slow_merge(runs, weights, method, iou_thr, score):
    """The rules of ``merge_tracks`` word by word, on dense masks."""
    pool = left = [
        dict(t, run=run, index=i, vote=weights[run] * t['score'], masks=dense(t['segmentations']))
        for run, tracks in enumerate(runs)
        for i, t in enumerate(tracks)
    ]

    def iou(a, b):
        union = (a['masks'] | b['masks']).sum()
        return (a['masks'] & b['masks']).sum() / union if union else 0.0

    merged = []
    while left:
        leader = max(left, key=lambda t: t['vote'])
        cluster = [leader]
        taken = [leader]
        for run in range(len(runs)):
            near = [
                t
                for t in left
                if run == t['run'] != leader['run']
                and t['category_id'] == leader['category_id']
                and iou(t, leader) > iou_thr
                and all(
                    iou(t, other) <= iou(t, leader)
                    for other in pool
                    if other['run'] == leader['run']
                    and other['category_id'] == leader['category_id']
                )
            ]
            taken += near
            if near:
                cluster.append(max(near, key=lambda t: iou(t, leader)))
        left = [t for t in left if not any(t is other for other in taken)]
        masks = leader['masks']
        if method == 'fuse':
            votes = sum(t['vote'] * t['masks'] for t in cluster)
            masks = votes >= sum(t['vote'] for t in cluster) / 2 - 1e-9
        found = leader['score']
        if score == 'mean':
            by_run = [sum(t['score'] for t in cluster if t['run'] == r) for r in range(len(runs))]
            found = np.average(by_run, weights=weights)
        members = {(t['run'], t['index']) for t in cluster}
        merged.append((leader['category_id'], found, masks, members))
    return merged


def test_iou_over_space_and_time_by_hand():
    a = masks_of((0, 0, 4, 2), (0, 0, 4, 2), None)  # 8 + 8 + 0 pixels
    b = masks_of((2, 0, 6, 2), None, (0, 0, 3, 3))  # 8 + 0 + 9; 4 pixels shared in frame 0
    c = masks_of((0, 0, 4, 2), (0, 0, 2, 2), None)  # 8 + 4; all within a
    nothing = masks_of(None, None, None)
    iou = spatio_temporal_iou([a, nothing], [a, b, c, nothing])
    assert iou.tolist() == [[1.0, 4 / (16 + 17 - 4), 12 / 16, 0.0], [0.0, 0.0, 0.0, 0.0]]
    assert spatio_temporal_iou([], [a]).shape == (0, 1)


def test_suppression_keeps_the_best_scored():
    a = track(0.6, (0, 0, 4, 4), (0, 0, 4, 4))
    b = track(0.8, (0, 0, 4, 3), (0, 0, 4, 4))  # IoU with a: 28 / 32
    other = track(0.5, (6, 0, 9, 3), None)
    merged = merge_tracks([[a, other], [b]], method='suppress', score='max')
    assert plain(merged) == [other, b]
    assert [t['members'] for t in merged] == [[(0, 1)], [(1, 0), (0, 0)]]
    # of two runs, one missed `other`
    merged = merge_tracks([[a, other], [b]], method='suppress', score='mean')
    assert [t['score'] for t in merged] == pytest.approx([0.25, 0.7])
    # above the threshold, not at it
    assert len(merge_tracks([[a], [b]], method='suppress', iou_thr=28 / 32)) == 2
    assert len(merge_tracks([[a], [b]], method='suppress', iou_thr=27.9 / 32)) == 1


@pytest.mark.parametrize('method', ['suppress', 'fuse'])
def test_one_of_each_run_is_a_member_and_further_ones_are_dropped(method):
    best = track(0.9, (0, 0, 5, 4))
    twins = [track(0.8, (0, 0, 5, 3)), track(0.7, (0, 0, 4, 4))]  # IoU 15/20, 16/20
    (merged,) = merge_tracks([[best], twins], method=method)
    assert merged['members'] == [(0, 0), (1, 1)]
    assert merged['score'] == pytest.approx((0.9 + 0.7) / 2)
    assert merged['segmentations'] == best['segmentations']  # the better one has more votes


@pytest.mark.parametrize('method', ['suppress', 'fuse'])
def test_two_objects_that_overlap_find_their_own(method):
    """A track goes to the track of the leader's run that it overlaps most."""
    near, far = (0, 0, 5, 4), (1, 0, 6, 4)  # IoU 16/24
    first = [track(0.9, near), track(0.5, far)]
    second = [track(0.8, far)]
    merged = merge_tracks([first, second], method=method)
    assert [t['members'] for t in merged] == [[(0, 0)], [(1, 0), (0, 1)]]
    assert [t['score'] for t in merged] == pytest.approx([0.45, 0.65])


def test_voting_by_hand():
    """Of votes 4, 3, 2 any two are a majority; a frame without a mask is a vote against."""
    runs = [
        [track(0.4, (0, 0, 4, 4), (0, 0, 4, 4), (0, 0, 4, 4))],
        [track(0.3, (1, 0, 5, 4), (0, 0, 4, 4), None)],
        [track(0.2, (0, 1, 4, 5), None, None)],
    ]
    (merged,) = merge_tracks(runs, method='fuse', iou_thr=0.1)
    expected = np.zeros((3, *SIZE), bool)
    expected[0, 0:4, 1:4] = True  # first and second
    expected[0, 1:4, 0:4] = True  # first and third; second and third add nothing
    expected[1, 0:4, 0:4] = True
    np.testing.assert_array_equal(dense(merged['segmentations']), expected)
    assert merged['segmentations'][2] is None
    assert merged['score'] == pytest.approx(0.3)


@pytest.mark.parametrize('scale', [1, 1e-6])
def test_one_with_half_of_the_votes_decides_alone(scale):
    best, other = 0.9 * scale, 0.4 * scale
    a, b, c = (track(s, (0, 0, w, 4)) for s, w in ((best, 4), (other, 5), (other, 6)))
    (merged,) = merge_tracks([[a], [b], [c]], method='fuse')
    assert merged['segmentations'] == a['segmentations']
    # a weight of 2 for the others turns it
    (merged,) = merge_tracks([[a], [b], [c]], weights=[1, 2, 2], method='fuse')
    assert merged['segmentations'] == b['segmentations']
    assert merged['score'] == pytest.approx((best + 2 * other + 2 * other) / 5)


@pytest.mark.parametrize('scores', [(0.9, 0.450001, 0.450001), (1, 1, 5e-324), (0, 0, 0)])
def test_one_with_a_little_less_than_half_of_the_votes_needs_another(scores):
    runs = [[track(s, (0, 0, w, 4))] for s, w in zip(scores, (6, 5, 4), strict=True)]
    (merged,) = merge_tracks(runs, method='fuse')
    assert merged['segmentations'] == runs[1][0]['segmentations']


def test_what_no_other_run_has_keeps_its_masks_as_they_are():
    """The very lists; also those of a track that is never seen."""
    run = [track(0.5, (0, 0, 4, 4)), track(0.4, None)]
    for runs in ([run], [run, []]):
        merged = merge_tracks(runs, method='fuse')
        for found, given in zip(merged, run, strict=True):
            assert found['segmentations'] is given['segmentations']


def test_weights_order_the_tracks():
    a, b = track(0.6, (0, 0, 4, 4)), track(0.5, (0, 0, 4, 3))
    for weights, kept in (([1, 1], a), ([1, 2], b), (None, a)):
        (merged,) = merge_tracks([[a], [b]], weights=weights, method='suppress', score='max')
        assert plain([merged]) == [kept]


@pytest.mark.parametrize('method', ['suppress', 'fuse'])
def test_classes_and_tracks_of_a_run_stay_apart(method):
    a = track(0.9, (0, 0, 4, 4), category_id=1)
    twin = track(0.8, (0, 0, 4, 4), category_id=1)
    b = track(0.7, (0, 0, 4, 4), category_id=2)
    merged = merge_tracks([[a, twin], [b]], method=method, score='max')
    assert plain(merged) == [a, twin, b]
    assert merge_tracks([[], []], method=method) == []


def test_tracks_of_other_classes_are_not_compared(monkeypatch):
    def never(*args):
        raise AssertionError('they have nothing to do with each other')

    monkeypatch.setattr(TrackRuns, 'shared', never)
    runs = [[track(0.9, (0, 0, 4, 4), category_id=category)] for category in (1, 2)]
    assert plain(merge_tracks(runs, score='max')) == runs[0] + runs[1]


@pytest.mark.parametrize('method', ['suppress', 'fuse'])
@pytest.mark.parametrize('copies', [1, 2, 3])
def test_a_result_merged_with_itself_stays_as_it_is(method, copies):
    run = random_run(np.random.default_rng(copies), tracks=12)
    for iou_thr in (0.0, 0.5, 0.99):
        runs = [copy.deepcopy(run) for _ in range(copies)]
        merged = merge_tracks(runs, method=method, iou_thr=iou_thr)
        if copies == 1:
            assert plain(merged) == run  # in order, too
        for t, expected in zip(by_score(plain(merged)), by_score(run), strict=True):
            assert t['score'] == pytest.approx(expected['score'], abs=1e-12)
            assert t['category_id'] == expected['category_id']
            np.testing.assert_array_equal(
                dense(t['segmentations']), dense(expected['segmentations'])
            )


@pytest.mark.parametrize('method', ['suppress', 'fuse'])
@pytest.mark.parametrize('score', ['mean', 'max'])
@pytest.mark.parametrize('num_runs', [2, 3, 5])
def test_equal_to_the_slow_reference(method, score, num_runs):
    rng = np.random.default_rng(num_runs)
    several = 0
    for _ in range(4):
        runs = [random_run(rng) for _ in range(num_runs)]
        # an identity with two classes has the same masks twice
        runs[0].append(dict(runs[0][0], category_id=(runs[0][0]['category_id'] + 1) % 3, score=0.3))
        weights = rng.uniform(0.5, 2, num_runs).tolist()
        options = dict(weights=weights, method=method, iou_thr=0.4, score=score)
        merged = {frozenset(t['members']): t for t in merge_tracks(runs, **options)}
        expected = {frozenset(m): rest for *rest, m in slow_merge(runs, **options)}
        assert merged.keys() == {k for k, v in expected.items() if v[2].any() or len(k) == 1}
        for members, t in merged.items():
            category_id, found, masks = expected[members]
            assert t['category_id'] == category_id
            assert t['score'] == pytest.approx(found, abs=1e-9)
            np.testing.assert_array_equal(dense(t['segmentations']), masks)
            several += len(members) > 2
    assert several > 0 or num_runs == 2


def test_bad_options_are_one_clear_line():
    runs = [[track(0.5, (0, 0, 4, 4))], []]
    for options, message in (
        (dict(method='mean'), "method 'mean' is not known; give one of suppress, fuse"),
        (dict(score='sum'), "score 'sum' is not known; give one of mean, max"),
        (dict(iou_thr=1.5), 'iou_thr is 1.5'),
        (dict(weights=[1]), '1 weights for 2 runs'),
        (dict(weights=[1, 0]), 'each must be above 0'),
        (dict(weights=[1, float('inf')]), 'each must be above 0 and finite'),
    ):
        with pytest.raises(InputError, match=message) as caught:
            merge_tracks(runs, **options)
        assert '\n' not in str(caught.value)
