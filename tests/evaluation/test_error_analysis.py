import json

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mmvis_cl.errors import InputError
from mmvis_cl.evaluation import (
    analyse_errors,
    error_analysis,
    evaluate_tracks,
    shuffle_identities,
)
from mmvis_cl.evaluation.error_analysis import _length_ranges
from mmvis_cl.evaluation.error_kinds import KINDS

HEIGHT, WIDTH, LENGTH = 40, 60, 8
CAT, DOG = 1, 7


def box(top, left, height=10, width=10):
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8, order='F')
    mask[top : top + height, left : left + width] = 1
    return dict(size=[HEIGHT, WIDTH], counts=mask_utils.encode(mask)['counts'].decode())


A, B, ELSEWHERE = box(0, 0), box(0, 20), box(25, 45)
# 8 of 10 rows of A lie below: IoU 2 / 18.
A_LOW = box(8, 0)


def track(category_id, *masks, video_id=1, score=None):
    """``masks`` are (mask, frames) pairs; the frames after them are empty."""
    segmentations = [mask for mask, frames in masks for _ in range(frames)]
    segmentations += [None] * (LENGTH - len(segmentations))
    track = dict(video_id=video_id, category_id=category_id, segmentations=segmentations)
    return track if score is None else track | dict(score=score)


def annotations_of(*tracks, num_videos=1):
    return dict(
        videos=[
            dict(id=i + 1, height=HEIGHT, width=WIDTH, length=LENGTH) for i in range(num_videos)
        ],
        categories=[dict(id=CAT, name='cat'), dict(id=DOG, name='dog')],
        annotations=[dict(track, id=10 + i, iscrowd=0) for i, track in enumerate(tracks)],
    )


CAT_AT_A, DOG_AT_B = track(CAT, (A, 8)), track(DOG, (B, 8))
RIGHT = [CAT_AT_A | dict(score=0.5), DOG_AT_B | dict(score=0.5)]
TWO = annotations_of(CAT_AT_A, DOG_AT_B)
TWO_CATS = annotations_of(CAT_AT_A, track(CAT, (B, 8)))
TWO_PARTS = [
    track(CAT, (A, 3), score=0.9),
    track(CAT, (None, 3), (A, 3), score=0.8),
    track(CAT, (None, 6), (A, 2), score=0.7),
]
# Kind: annotations, results with errors of this kind alone, how many, AP before.
ONE_KIND = {
    'class': (annotations_of(CAT_AT_A), [track(DOG, (A, 8), score=0.9)], 1, 0.0),
    'localisation': (annotations_of(CAT_AT_A), [track(CAT, (A_LOW, 8), score=0.9)], 1, 0.0),
    'too few frames': (annotations_of(CAT_AT_A), [track(CAT, (A, 3), score=0.9)], 1, 0.0),
    'split': (annotations_of(CAT_AT_A), TWO_PARTS, 3, 0.0),
    'merged': (
        TWO_CATS,
        [track(CAT, (A, 4), (B, 4), score=0.9), track(CAT, (B, 4), (A, 4), score=0.8)],
        2,
        0.0,
    ),
    # A better-scored mistake before the only match of a class: precision 1/2.
    'both': (TWO, [*RIGHT, track(DOG, (A_LOW, 8), score=0.9)], 1, 0.75),
    'duplicate': (TWO, [*RIGHT, track(CAT, (A, 5), score=0.4)], 1, 1.0),
    'background': (TWO, [*RIGHT, track(CAT, (ELSEWHERE, 8), score=0.9)], 1, 0.75),
    'missed': (TWO, RIGHT[:1], 1, 0.5),
}
KIND_OF = {'too few frames': 'localisation', 'split': 'association', 'merged': 'association'}


@pytest.mark.parametrize('case', ONE_KIND)
def test_all_loss_goes_to_the_only_kind_of_error(case):
    annotations, results, count, before = ONE_KIND[case]
    kind = KIND_OF.get(case, case)
    found = analyse_errors(results, annotations)
    assert found['scores']['AP50'] == pytest.approx(before)
    for name in KINDS:
        expected = dict(AP=0, AP50=0, count=0)
        if name == kind:
            expected = dict(AP=1 - before, AP50=1 - before, count=count)
        assert found['losses'][name] == pytest.approx(expected, abs=1e-12), name
    if kind == 'association':
        assert found['association'][case] == count
        assert sum(found['association'].values()) == count
    assert {error['kind'] for error in found['errors']} == {kind}
    assert found['videos'][0]['errors'][kind] == count
    assert found['videos'][0]['loss'] == pytest.approx(1 - before)


def test_perfect_results_lose_nothing():
    found = analyse_errors(RIGHT, TWO)
    assert found['losses'] == {kind: dict(AP=0, AP50=0, count=0) for kind in KINDS}
    assert found['errors'] == []
    assert found['videos'][0]['AP'] == pytest.approx(1)


def test_nothing_found_is_all_missed():
    found = analyse_errors([], TWO)
    assert found['losses']['missed'] == dict(AP=1, AP50=1, count=2)
    assert [error['annotation'] for error in found['errors']] == [10, 11]


def test_each_threshold_has_its_own_errors():
    # 62 of 100 pixels, IoU 0.62: right at 0.5, 0.55 and 0.6, badly localised at the 7 others.
    part = mask_utils.merge([box(0, 0, 6, 10), box(6, 0, 1, 2)])
    part['counts'] = part['counts'].decode()
    found = analyse_errors([track(CAT, (part, 8), score=0.9)], annotations_of(CAT_AT_A))
    assert found['scores']['AP'] == pytest.approx(0.3)
    assert found['losses']['localisation'] == pytest.approx(dict(AP=0.7, AP50=0, count=0))
    assert found['losses']['association']['AP'] == 0
    # 5 of 8 frames, and another result has the rest: 0.625, associated badly at the 7 others.
    rest = track(CAT, (None, 5), (A, 3), score=0.2)
    found = analyse_errors([track(CAT, (A, 5), score=0.9), rest], annotations_of(CAT_AT_A))
    assert found['losses']['association'] == pytest.approx(dict(AP=0.7, AP50=0, count=1))
    assert found['losses']['localisation']['AP'] == 0


def test_a_short_track_beside_the_matched_one_is_a_duplicate_and_after_it_a_split():
    main = track(CAT, (A, 6), score=0.9)
    beside, after = track(CAT, (A, 2), score=0.3), track(CAT, (None, 6), (A, 2), score=0.2)
    found = analyse_errors([main, beside, after], annotations_of(CAT_AT_A))
    assert {error['result']: error['kind'] for error in found['errors']} == {
        1: 'duplicate',
        2: 'association',
    }
    assert {error['annotation'] for error in found['errors']} == {10}


def test_an_object_that_a_mendable_result_is_of_is_not_missed():
    found = analyse_errors([track(DOG, (A, 8), score=0.9)], TWO)
    counts = {kind: figures['count'] for kind, figures in found['losses'].items()}
    assert counts == dict.fromkeys(KINDS, 0) | {'class': 1, 'missed': 1}
    assert [error['annotation'] for error in found['errors']] == [10, 11]


def test_class_errors_on_a_matched_object_are_removed():
    # One identity as two classes, the wrong one better: a false positive above dog's match.
    results = [*RIGHT, track(DOG, (A, 8), score=0.9)]
    found = analyse_errors(results, TWO)
    assert found['scores']['AP50'] == pytest.approx(0.75)
    assert found['losses']['class']['AP50'] == pytest.approx(0.25)
    # It does not find the object a second time, above the mistake that comes before the match.
    results = [RIGHT[0], results[2], track(CAT, (ELSEWHERE, 8), score=0.7)]
    found = analyse_errors(results, annotations_of(CAT_AT_A))
    assert found['scores']['AP50'] == pytest.approx(0.5)
    assert found['losses']['class'] == dict(AP=0, AP50=0, count=1)


def test_crowds_and_what_matches_them_are_no_errors():
    annotations = annotations_of(CAT_AT_A, track(CAT, (B, 8)))
    annotations['annotations'][1]['iscrowd'] = 1
    results = [track(CAT, (A, 8), score=0.5), track(CAT, (B, 8), score=0.9)]
    assert analyse_errors(results, annotations)['errors'] == []
    assert analyse_errors(results[:1], annotations)['errors'] == []


def perturbed(seed, num_videos=6):
    """Objects that move, and results with errors of all kinds."""
    rng = np.random.default_rng(seed)
    truth, results = [], []
    for video_id in range(1, num_videos + 1):
        for _ in range(rng.integers(1, 4)):
            top, left, drop, shift = rng.integers((0, 0, 0, 0), (25, 25, 2, 3))
            first, last = sorted(rng.integers(0, LENGTH + 1, 2)) if rng.random() < 0.5 else (0, 8)
            frames = [
                box(top + drop * t, left + shift * t) if first <= t <= last else None
                for t in range(LENGTH)
            ]
            category = int(rng.choice([CAT, DOG]))
            truth.append(track(category, *((mask, 1) for mask in frames), video_id=video_id))
            for _ in range(rng.integers(0, 4)):
                off, away = rng.integers(0, 7, 2)
                found = [
                    mask
                    and rng.random() < 0.9
                    and box(top + drop * t + off * (away > 3), left + shift * t)
                    for t, mask in enumerate(frames)
                ]
                category = category if rng.random() < 0.7 else int(rng.choice([CAT, DOG]))
                results.append(
                    track(
                        category,
                        *((mask or None, 1) for mask in found),
                        video_id=video_id,
                        score=float(rng.random()),
                    )
                )
    return shuffle_identities(results, seed) if seed % 2 else results, annotations_of(
        *truth, num_videos=num_videos
    )


@pytest.mark.parametrize('seed', range(6))
def test_properties_of_mixed_errors(seed):
    results, annotations = perturbed(seed)
    found = analyse_errors(results, annotations)
    assert found['scores'] == evaluate_tracks(results, annotations, details=True)
    for name in ('AP', 'AP50'):
        losses = [figures[name] for figures in found['losses'].values()]
        assert min(losses) > -1e-12
        assert max(losses) > 0
        assert max(losses) <= 1 - found['scores'][name] + 1e-12
    # A result is right or one error; an object is matched, mendable or missed.
    wrong = [error['result'] for error in found['errors'] if error['result'] is not None]
    assert len(wrong) == len(set(wrong))
    total = sum(figures['count'] for figures in found['losses'].values())
    assert total == len(found['errors'])
    assert total == sum(sum(video['errors'].values()) for video in found['videos'])
    json.dumps(found)


@pytest.mark.parametrize('seed', range(2))
def test_mending_everything_leaves_perfect_results(monkeypatch, seed):
    made = []

    class Kept(error_analysis._MendableEvaluation):
        def find_errors(self, progress):
            super().find_errors(progress)
            made.append(self)

    monkeypatch.setattr(error_analysis, '_MendableEvaluation', Kept)
    found = analyse_errors(*perturbed(seed))
    (evaluation,) = made
    for level in range(10):
        assert evaluation.mended(KINDS, level).average_precision() == pytest.approx(1)
    ap = evaluation.average_precisions()
    assert [ap.mean(), ap[0]] == pytest.approx(
        [found['scores']['AP'], found['scores']['AP50']], abs=1e-12
    )


def test_mended_masks_score_as_the_evaluation_scores_them():
    """Two kinds are mended by hand, in the results, and scored by the plain evaluation."""
    results, annotations = perturbed(2)
    found = analyse_errors(results, annotations)
    removed = {e['result'] for e in found['errors'] if e['kind'] == 'background'}
    kept = [result for i, result in enumerate(results) if i not in removed]
    ap50 = evaluate_tracks(kept, annotations)['AP50']
    expected = ap50 - found['scores']['AP50']
    assert found['losses']['background']['AP50'] == pytest.approx(expected, abs=1e-12)
    missed = {e['annotation'] for e in found['errors'] if e['kind'] == 'missed'}
    assert missed
    fewer = dict(
        annotations, annotations=[a for a in annotations['annotations'] if a['id'] not in missed]
    )
    ap50 = evaluate_tracks(results, fewer)['AP50']
    expected = ap50 - found['scores']['AP50']
    assert found['losses']['missed']['AP50'] == pytest.approx(expected, abs=1e-12)


def test_worst_video_first():
    annotations = annotations_of(
        CAT_AT_A, *(dict(CAT_AT_A, video_id=i) for i in (2, 3)), num_videos=3
    )
    results = [
        track(CAT, (A, 8), score=0.9),
        track(CAT, (A, 8), video_id=3, score=0.8),
        track(CAT, (ELSEWHERE, 8), video_id=3, score=0.95),
    ]
    videos = analyse_errors(results, annotations)['videos']
    # Precision is 2/3 up to a recall of 2/3, which 67 of 101 recalls are. Without the object of
    # video 2 it is 2/3 up to a recall of 1, without the mistake of video 3 it is 1 up to 2/3.
    assert [video['video_id'] for video in videos] == [2, 3, 1]
    losses = [2 / 3 * 34 / 101, 1 / 3 * 67 / 101, 0]
    assert [video['loss'] for video in videos] == pytest.approx(losses)
    assert {video['video_id']: video['AP50'] for video in videos} == pytest.approx(
        {1: 1, 2: 0, 3: 0.5}
    )


def test_ap_by_length():
    short = track(CAT, (A, 2), video_id=1)
    annotations = annotations_of(short, dict(CAT_AT_A, video_id=2), num_videos=2)
    annotations['videos'][0]['length'] = 4
    short['segmentations'] = short['segmentations'][:4]
    annotations['annotations'][0]['segmentations'] = short['segmentations']
    results = [dict(short, score=0.9)]
    found = analyse_errors(results, annotations)
    assert found['by_video_length'] == [
        dict(low=4, high=4, videos=1, tracks=1, AP=pytest.approx(1), AP50=pytest.approx(1)),
        dict(low=8, high=8, videos=1, tracks=1, AP=0, AP50=0),
    ]
    assert found['by_track_length'] == [
        dict(low=2, high=2, tracks=1, AP=pytest.approx(1), AP50=pytest.approx(1)),
        dict(low=8, high=8, tracks=1, AP=0, AP50=0),
    ]


@pytest.mark.parametrize(
    ('lengths', 'ranges'),
    [
        ([5], [(5, 5)]),
        ([7, 7, 7, 7], [(7, 7)]),
        ([1, 2, 3], [(1, 1), (2, 2), (3, 3)]),
        ([4, 9, 1, 30, 12, 6], [(1, 4), (6, 9), (12, 30)]),
        ([2, 2, 2, 2, 9], [(2, 2), (9, 9)]),
        ([8, 10, 16, 16, 16, 16, 16], [(8, 10), (16, 16)]),
    ],
)
def test_length_ranges(lengths, ranges):
    assert _length_ranges(lengths) == ranges


def test_bad_input(tmp_path):
    with pytest.raises(InputError, match='no track is annotated'):
        analyse_errors(RIGHT, annotations_of())
    with pytest.raises(InputError, match='video_id 9 is not in the annotations'):
        analyse_errors([dict(RIGHT[0], video_id=9)], TWO)
    (tmp_path / 'results.json').write_text('[')
    with pytest.raises(InputError, match=r'results\.json: not valid JSON'):
        analyse_errors(tmp_path / 'results.json', TWO)
