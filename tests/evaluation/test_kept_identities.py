"""Kept identities of small tracks, counted by hand."""

from functools import partial

import pytest
from small_tracks import rectangle, small_set

from mmvis_cl.evaluation.kept_identities import kept_identities


def track(*places):
    """Masks at these places from the left; None where there is none."""
    return [None if left is None else rectangle(left) for left in places]


def by_unseen(found):
    return {(row['low'], row['high']): (row['kept'], row['returns']) for row in found['by_unseen']}


video_of = partial(small_set, length=7)
OBJECT = track(0, 0, None, None, None, 0, 0)


def test_an_identity_that_outlasts_a_gap():
    found = kept_identities(video_of([OBJECT], [(0.9, OBJECT)]))
    assert by_unseen(found) == {(0, 0): (2, 2), (2, 4): (1, 1)}
    circumstances = {
        name: (row['kept'], row['returns']) for name, row in found['by_circumstance'].items()
    }
    one, none = (1, 1), (0, 0)
    expected = {'look-alike': none, 'alone': one, 'overlapped': none, 'free': one}
    assert circumstances == expected | dict(away=one, missed=none)
    assert found['takeovers'] == 0


def test_an_identity_that_does_not():
    before, after = track(0, 0, *[None] * 5), track(*[None] * 5, 0, 0)
    found = kept_identities(video_of([OBJECT], [(0.9, before), (0.8, after)]))
    assert by_unseen(found) == {(0, 0): (2, 2), (2, 4): (0, 1)}
    # what scores less is not there: the object is lost, not changed
    found = kept_identities(video_of([OBJECT], [(0.9, before), (0.8, after)]), score_thr=0.85)
    assert by_unseen(found) == {(0, 0): (1, 1)}


def test_look_alikes_that_change_places():
    """Both are found, each with the identity of the other after they are back."""
    other = track(60, 60, None, None, None, 60, 60)
    swapped = track(0, 0, None, None, None, 60, 60), track(60, 60, None, None, None, 0, 0)
    found = kept_identities(video_of([OBJECT, other], [(0.9, swapped[0]), (0.9, swapped[1])]))
    assert by_unseen(found) == {(0, 0): (4, 4), (2, 4): (0, 2)}
    assert found['by_circumstance']['look-alike'] == dict(returns=2, kept=0)
    assert found['by_circumstance']['alone'] == dict(returns=0, kept=0)
    assert found['takeovers'] == 2


def test_an_object_that_is_there_and_missed_beside_another():
    there = track(0, 0, 0, 0, 0, 0, 0)
    near = track(10, 10, 10, 10, 10, 10, 10)  # its box lies on half of the object's
    seen = track(0, 0, None, None, None, 0, 0)
    found = kept_identities(video_of([there, near], [(0.9, seen), (0.9, near)]))
    assert by_unseen(found) == {(0, 0): (2 + 6, 2 + 6), (2, 4): (1, 1)}
    assert found['by_circumstance']['missed'] == dict(returns=1, kept=1)
    assert found['by_circumstance']['overlapped'] == dict(returns=1, kept=1)
    assert found['by_circumstance']['away'] == dict(returns=0, kept=0)


def test_one_identity_of_several_classes():
    """A result of each class has the same masks: no second identity that one could change to."""
    found = kept_identities(video_of([OBJECT], [(0.9, OBJECT), (0.95, list(OBJECT))]))
    assert by_unseen(found) == {(0, 0): (2, 2), (2, 4): (1, 1)}


@pytest.mark.parametrize('objects, results', [([], [(0.9, OBJECT)]), ([OBJECT], [])])
def test_nothing_to_keep(objects, results):
    found = kept_identities(video_of(objects, results))
    assert found['by_unseen'] == [] and found['takeovers'] == 0
