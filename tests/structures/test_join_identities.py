"""Identities that are one object, against all ways to join them."""

from itertools import pairwise, permutations, product

import numpy as np
import pytest

from mmvis_cl.structures import VideoResult, encode_masks
from mmvis_cl.structures.join_identities import join_identities


def test_the_best_of_all_ways():
    """By trying them all, for up to four identities at random places in time."""
    rng = np.random.default_rng(0)
    joined = 0
    for _ in range(200):
        n = int(rng.integers(1, 5))
        first = rng.integers(0, 12, n)
        last = first + rng.integers(0, 5, n)
        embeds, labels = rng.normal(size=(n, 2)), rng.integers(0, 2, n)
        unit = embeds / np.linalg.norm(embeds, axis=1, keepdims=True)
        worth = np.full((n, n + 1), -np.inf)
        worth[:, n] = 0  # goes on as none
        for i, j in product(range(n), range(n)):
            if last[i] < first[j] <= last[i] + 6 and labels[i] == labels[j]:
                worth[i, j] = unit[i] @ unit[j] - 0.3
        best = max(
            sum(worth[i, j] for i, j in enumerate(way))
            for way in set(permutations([*range(n), *[n] * n], n))
        )
        chain = join_identities(first, last, embeds, labels, 0.3, max_gap=5)
        found = 0.0
        for leader in set(chain.tolist()):
            members = sorted(np.flatnonzero(chain == leader), key=lambda i: first[i])
            assert members[0] == leader
            found += sum(worth[pair] for pair in pairwise(members))
            joined += len(members) - 1
        assert found == pytest.approx(best)
    assert joined > 40


def test_not_the_nearest_first():
    """Greedy would join the most similar pair, 0 and 2, and leave 1 and 3 alone."""
    angles = np.radians([0, 25, 10, -30])
    embeds = np.stack((np.cos(angles), np.sin(angles)), 1)
    first, last, labels = np.array([0, 0, 5, 5]), np.array([3, 3, 9, 9]), np.zeros(4, int)
    assert join_identities(first, last, embeds, labels, 0.8).tolist() == [0, 1, 1, 0]


def rle():
    return encode_masks(np.ones((1, 4, 4), bool))[0]


def video(**options):
    """An object of one class that is seen in frames 0 and 1, and 5 and 6, under two names."""
    result = VideoResult('video', 7, (4, 4), noise_from_frame=99, **options)
    for t, name, score in ((0, 3, 0.9), (1, 3, 0.7), (5, 8, 0.5), (6, 8, 0.3)):
        result.add_frame(
            t,
            np.array([name]),
            np.array([[score, 0.1]]),
            [rle()],
            np.full((1, 4), t, float),
            np.array([[8.0, 16]]),
            np.array([[2.0, t / 100]]),
        )
    return result


def test_tracks_of_joined_identities():
    """Scores are means over all frames; boxes and masks are those of both."""
    apart, joined = video(score_thr=0.2).tracks, video(score_thr=0.2, join_thr=0.9).tracks
    assert [(t.identity, t.label) for t in apart] == [(3, 0)]  # quality 0.5
    assert [(t.identity, t.label) for t in joined] == [(3, 0)]
    (track,) = joined
    assert track.score == pytest.approx(0.5 * (0.9 + 0.7 + 0.5 + 0.3) / 4)
    seen = [t for t, mask in enumerate(track.segmentations) if mask is not None]
    assert seen == [0, 1, 5, 6] == [int(box[0]) for box in track.bboxes if box is not None]
    assert len(video(score_thr=0.15, join_thr=0.9, join_max_gap=2).tracks) == 2
    assert len(video(score_thr=0.15, join_thr=0.9, join_max_gap=3).tracks) == 1


def test_frames_while_watching_are_as_they_were():
    result = video(join_thr=0.9)
    assert list(result.identities) == [3, 8]
    assert result.mean_scores(8)[0] == pytest.approx(0.4)
