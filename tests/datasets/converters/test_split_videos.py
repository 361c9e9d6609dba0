import itertools
import random

import pytest

from mmvis_cl.datasets.converters.split_videos import split_videos
from mmvis_cl.errors import InputError


def content_of(classes_of):
    """Annotations with one track for each class of each video."""
    pairs = [(video_id, label) for video_id, labels in classes_of.items() for label in labels]
    return dict(
        info=dict(year=2021),
        licenses=['any'],
        videos=[dict(id=video_id, name=f'v{video_id}') for video_id in classes_of],
        annotations=[
            dict(id=100 + index, video_id=video_id, category_id=label, segmentations=[None])
            for index, (video_id, label) in enumerate(pairs)
        ],
        categories=[dict(id=label, name=str(label)) for label in range(8)],
    )


def represented(chosen, classes_of):
    """The classes that are both in the chosen videos and in the others."""
    sides = [set(), set()]
    for video_id, labels in classes_of.items():
        sides[video_id in chosen].update(labels)
    return sides[0] & sides[1]


def ids(part):
    return {video['id'] for video in part['videos']}


def test_nothing_is_lost_or_changed():
    rng = random.Random(0)
    classes_of = {i: set(rng.sample(range(8), rng.randint(0, 3))) for i in range(3, 43)}
    content = content_of(classes_of)
    before = repr(content)
    train, valid = split_videos(content, 0.2, seed=1)
    assert repr(content) == before
    assert len(valid['videos']) == 8
    for key in ('videos', 'annotations'):
        assert [x for x in content[key] if x in train[key]] == train[key]
        assert [x for x in content[key] if x in valid[key]] == valid[key]
        assert len(train[key]) + len(valid[key]) == len(content[key])
    assert not ids(train) & ids(valid)
    for part in (train, valid):
        assert {track['video_id'] for track in part['annotations']} <= ids(part)
        for key in ('info', 'licenses', 'categories'):
            assert part[key] == content[key]
    assert represented(ids(valid), classes_of) == set(range(8))


def test_depends_on_the_seed_alone():
    rng = random.Random(0)
    content = content_of({i: {rng.randrange(8)} for i in range(60)})
    first = split_videos(content, 0.3, seed=5)
    assert split_videos(content, 0.3, seed=5) == first
    assert any(split_videos(content, 0.3, seed=seed) != first for seed in range(3))


def test_classes_keep_their_share():
    rng = random.Random(3)
    classes_of = {i: {min(int(rng.expovariate(0.5)), 7)} for i in range(1000)}
    _, valid = split_videos(content_of(classes_of), 0.1, seed=0)
    assert len(valid['videos']) == pytest.approx(100, abs=2)
    for label in range(8):
        of_class = [i for i, labels in classes_of.items() if label in labels]
        share = len(ids(valid) & set(of_class)) / len(of_class)
        assert share == pytest.approx(0.1, abs=max(0.03, 1 / len(of_class)))


def test_as_many_classes_on_both_sides_as_any_split_has():
    rng = random.Random(1)
    for seed in range(120):
        number = rng.randint(2, 8)
        labels = range(rng.randint(1, 5))
        classes_of = {
            i: set(rng.sample(labels, rng.randint(0, min(3, len(labels))))) for i in range(number)
        }
        best = max(
            len(represented(set(chosen), classes_of))
            for size in range(1, number)
            for chosen in itertools.combinations(range(number), size)
        )
        train, valid = split_videos(content_of(classes_of), 0.3, seed)
        assert train['videos'] and valid['videos']
        assert len(represented(ids(valid), classes_of)) == best, classes_of


def test_a_single_video_of_a_class_is_for_training():
    classes_of = {i: {0} for i in range(10)} | {10: {0, 1}}
    for seed in range(20):
        train, _ = split_videos(content_of(classes_of), 0.3, seed)
        assert 10 in ids(train)


@pytest.mark.parametrize('share', [0, 1, -0.1, 2])
def test_share_out_of_range(share):
    with pytest.raises(InputError, match='valid_share is'):
        split_videos(content_of({1: {0}, 2: {0}}), share)


def test_what_cannot_be_split():
    with pytest.raises(InputError, match='1 videos cannot be split'):
        split_videos(content_of({1: {0}}))
    content = content_of({1: {0}, 2: {0}})
    content['annotations'][0]['video_id'] = 7
    with pytest.raises(InputError, match='annotation 100: there is no video 7'):
        split_videos(content)
