"""Which videos are long, and the 2022 metric against the two subsets scored apart."""

import json

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mmvis_cl.errors import InputError
from mmvis_cl.evaluation import evaluate_tracks, format_scores, long_video_ids
from mmvis_cl.evaluation.track_ap import METRICS

HEIGHT, WIDTH = 40, 60
LENGTHS = {1: 3, 2: 8, 4: 4, 7: 3, 9: 9, 12: 8}
LONG = {2, 9, 12}


def rle(top, left):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order='F')
    mask[max(top, 0) : top + 12, max(left, 0) : left + 12] = 1
    encoded = mask_utils.encode(mask)
    return dict(size=[HEIGHT, WIDTH], counts=encoded['counts'].decode())


@pytest.fixture(scope='module')
def annotations():
    """Six videos of three to nine frames; class 3 is in short ones only."""
    rng = np.random.default_rng(0)
    tracks = []
    for video_id, length in LENGTHS.items():
        for label in (1, 2, 1) if video_id in LONG else (1, 2, 3):
            top, left = rng.integers(0, 28), rng.integers(0, 48)
            tracks.append(
                dict(
                    id=len(tracks) + 1,
                    video_id=video_id,
                    category_id=label,
                    iscrowd=0,
                    segmentations=[rle(top, left)] * length,
                )
            )
    return dict(
        videos=[
            dict(id=video_id, height=HEIGHT, width=WIDTH, length=length, is_long=video_id in LONG)
            for video_id, length in LENGTHS.items()
        ],
        categories=[dict(id=label, name=f'class {label}') for label in (1, 2, 3)],
        annotations=tracks,
    )


@pytest.fixture(scope='module')
def results(annotations):
    """Masks moved by some pixels, some left out, some of another class."""
    rng = np.random.default_rng(1)
    tracks = []
    for track in annotations['annotations']:
        for _ in range(2):
            masks = []
            for mask in track['segmentations']:
                x, y, *_ = mask_utils.toBbox(mask).astype(int)
                moved = rle(y + rng.integers(-3, 4), x + rng.integers(-3, 4))
                masks.append(moved if rng.random() < 0.9 else None)
            label = track['category_id'] if rng.random() < 0.8 else int(rng.integers(1, 4))
            tracks.append(
                dict(
                    video_id=track['video_id'],
                    category_id=label,
                    score=rng.random(),
                    segmentations=masks,
                )
            )
    return tracks


def test_equals_the_subsets_scored_apart(annotations, results):
    scores = evaluate_tracks(results, annotations, details=True, long_videos=8)
    whole = evaluate_tracks(results, annotations, details=True)
    assert {name: scores[name] for name in whole} == whole
    subsets = {}
    for subset, wanted in (('short', set(LENGTHS) - LONG), ('long', LONG)):
        subsets[subset] = evaluate_tracks(
            [track for track in results if track['video_id'] in wanted],
            annotations
            | dict(
                videos=[video for video in annotations['videos'] if video['id'] in wanted],
                annotations=[t for t in annotations['annotations'] if t['video_id'] in wanted],
            ),
            details=True,
        )
        for name in (*METRICS, 'num_videos', 'num_tracks', 'num_results'):
            assert scores[f'{name}_{subset}'] == subsets[subset][name], name
    short, long = subsets['short'], subsets['long']
    assert 0.05 < long['AP'] < 0.95 and 0.05 < short['AP'] < 0.95
    assert abs(short['AP'] - long['AP']) > 0.01
    for name in METRICS:
        mean = -1 if short[name] < 0 else (short[name] + long[name]) / 2
        assert scores[f'{name}_mean'] == pytest.approx(mean, abs=1e-12)
    # Not the AP of all videos: the classes and numbers of tracks differ.
    assert abs(scores['AP_mean'] - scores['AP']) > 1e-3


def test_a_subset_without_annotations_has_no_mean(annotations, results):
    few = annotations | dict(
        annotations=[t for t in annotations['annotations'] if t['video_id'] not in LONG]
    )
    scores = evaluate_tracks(results, few, long_videos=8)
    assert scores['AP_short'] > 0 and scores['AP_long'] == scores['AP_mean'] == -1


def test_every_way_to_tell_long_videos(annotations, tmp_path):
    ids, text, part = (tmp_path / name for name in ('ids.json', 'ids.txt', 'gt_long.json'))
    ids.write_text(json.dumps(sorted(LONG)))
    text.write_text('2\n9 12\n')
    part.write_text(json.dumps(dict(videos=[dict(id=i) for i in LONG], annotations=[])))
    for way in (8, 5, [12, 9, 2], str(ids), str(text), str(part), 'is_long'):
        assert long_video_ids(annotations, way) == LONG, way
    assert long_video_ids(annotations, 9) == {9}
    # Only long videos have the key; lengths may be told by the names of the frames alone.
    sparse = dict(
        videos=[
            dict(id=video_id, file_names=['x.jpg'] * length, **({'L': 1} if length > 5 else {}))
            for video_id, length in LENGTHS.items()
        ]
    )
    assert long_video_ids(sparse, 'L') == long_video_ids(sparse, 6) == LONG


@pytest.mark.parametrize(
    ('way', 'message'),
    [
        (100, r'long_videos=100 \(frames or more\): none of the 6 videos is long'),
        (1, 'each of the 6 videos is long'),
        ([2, 99, 98], r'2 of its 3 ids are not among the annotated videos, 98 for instance'),
        ([], 'none of the 6'),
        ('islong', "long_videos='islong' .* no video of the annotations has it"),
        (True, 'long_videos=True'),
        ('/nowhere/ids.txt', '/nowhere/ids.txt: no such file'),
    ],
)
def test_ways_that_do_not_tell(annotations, way, message):
    with pytest.raises(InputError, match=message) as caught:
        evaluate_tracks([], annotations, long_videos=way)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('name', ['x.json', 'x.txt'])
@pytest.mark.parametrize('text', ['{"ids": 3}', 'a b', '[[1]]'])
def test_files_without_ids(annotations, tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=r'x\.\w+: not (a list of video ids|valid JSON)'):
        long_video_ids(annotations, str(tmp_path / name))


def test_table(annotations, results):
    scores = evaluate_tracks(results, annotations, long_videos=8)
    head, *rows = (line.split() for line in format_scores(scores).split('\n'))
    assert head == list(METRICS)
    assert [row[0] for row in rows] == ['all', 'short', 'long', 'mean']
    for label, *cells in rows:
        end = '' if label == 'all' else f'_{label}'
        values = [scores[f'{name}{end}'] for name in METRICS]
        assert cells == ['-' if value < 0 else f'{value:.3f}' for value in values]
    lines = format_scores(scores).split('\n')
    assert len({len(line) for line in lines}) == 1
