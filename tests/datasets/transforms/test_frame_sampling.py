"""The pairs that are drawn, by their probabilities."""

from collections import Counter

import numpy as np
import pytest

from mmvis_cl.datasets import KeyRefFrameSample


@pytest.fixture(autouse=True)
def _seed():
    np.random.seed(0)


def draw_pairs(length, number, **kwargs):
    sample = KeyRefFrameSample(**kwargs)
    pairs = []
    for _ in range(number):
        video = dict(
            video_id=1, video_length=length, images=[dict(frame_id=i) for i in range(length)]
        )
        result = sample.transform(video)
        assert result['key_frame_flags'] == [True, False]
        assert result['ori_video_length'] == [length] * 2 and result['video_length'] == [2, 2]
        pairs.append(tuple(result['frame_id']))
    return pairs


def test_pairs_are_sorted_different_and_near():
    pairs = draw_pairs(40, 4000)
    gaps = {reference - key for key, reference in pairs}
    assert gaps == set(range(1, 11))
    assert {frame for pair in pairs for frame in pair} == set(range(40))


def test_pairs_have_the_right_probabilities():
    # By hand, for 4 frames at most 2 apart: the first frame is uniform (1/4), the second uniform
    # among the others in reach (2, 3, 3, 2 of them).
    expected = {
        (0, 1): 1 / 8 + 1 / 12,
        (0, 2): 1 / 8 + 1 / 12,
        (1, 2): 1 / 12 + 1 / 12,
        (1, 3): 1 / 12 + 1 / 8,
        (2, 3): 1 / 12 + 1 / 8,
    }
    number = 6000
    counts = Counter(draw_pairs(4, number, frame_range=2))
    assert counts.keys() == expected.keys()
    for pair, probability in expected.items():
        # Five standard deviations.
        assert abs(counts[pair] / number - probability) < 5 * (probability / number) ** 0.5


def test_one_frame_is_its_own_pair_and_a_given_frame_is_used():
    assert draw_pairs(1, 3) == [(0, 0)] * 3
    video = dict(video_id=1, video_length=9, images=[dict(frame_id=i) for i in range(9)])
    for _ in range(20):
        assert 8 in KeyRefFrameSample().transform({**video, 'key_frame_id': 8})['frame_id']


def test_the_next_frame_is_the_least_range():
    assert set(draw_pairs(3, 50, frame_range=1)) == {(0, 1), (1, 2)}
    with pytest.raises(ValueError, match='at least 1'):
        KeyRefFrameSample(frame_range=0)


def test_clips_are_drawn_around_one_frame():
    """Sorted, in reach of one of them, with repetitions; a pair is a clip of two."""
    sample = KeyRefFrameSample(frame_range=3, num_frames=5)
    video = dict(video_id=1, video_length=30, images=[dict(frame_id=i) for i in range(30)])
    clips = [sample.transform(dict(video))['frame_id'] for _ in range(2000)]
    assert all(clip == sorted(clip) and len(clip) == 5 for clip in clips)
    assert all(any(max(abs(i - one) for i in clip) <= 3 for one in clip) for clip in clips)
    assert max(clip[-1] - clip[0] for clip in clips) == 6
    assert {len(set(clip)) for clip in clips} >= {3, 4, 5}  # the others with repetition
    assert {i for clip in clips for i in clip} == set(range(30))
    result = sample.transform(dict(video))
    assert result['key_frame_flags'] == [True] + [False] * 4 and result['video_length'] == [5] * 5
    alone = dict(video_id=1, video_length=1, images=[dict(frame_id=0)])
    assert sample.transform(alone)['frame_id'] == [0] * 5


def test_the_others_of_a_clip_are_uniform():
    sample = KeyRefFrameSample(frame_range=2, num_frames=3)
    count = Counter()
    for _ in range(6000):
        video = dict(
            video_id=1, video_length=9, key_frame_id=4, images=[dict(frame_id=i) for i in range(9)]
        )
        drawn = list(sample.transform(video)['frame_id'])
        drawn.remove(4)
        count.update(drawn)
    assert set(count) == {2, 3, 5, 6}
    assert all(abs(n - 3000) < 5 * np.sqrt(12000 / 4 * 3 / 4) for n in count.values())


def test_a_clip_has_two_frames_at_least():
    with pytest.raises(ValueError, match='num_frames must be at least 2'):
        KeyRefFrameSample(num_frames=1)
