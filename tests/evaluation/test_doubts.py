"""Each doubt is found where it was put, and nowhere else."""

import numpy as np
import pytest
from pycocotools import mask as mask_util

from mmvis_cl.evaluation.doubts import find_doubts
from mmvis_cl.evaluation.tracked_videos import TrackedIdentity, TrackedVideo

SIZE = 100, 200


def square(x, y=40, side=20, height=None):
    mask = np.zeros(SIZE, np.uint8, order='F')
    mask[y : y + (height or side), x : x + side] = 1
    return mask_util.encode(mask)


def identity(number, masks, score=0.99, name='dog', **classes):
    return TrackedIdentity(number, {name: score, **classes}, masks, dict.fromkeys(masks, score))


def steady(x=20, frames=range(12)):
    """Masks that move by two pixels a frame."""
    return {frame: square(x + 2 * frame) for frame in frames}


def found(*identities, length=12, **options):
    doubtful = find_doubts(TrackedVideo('v', list(range(length)), list(identities)), **options)
    return [(doubt.kind, doubt.frame) for doubt in doubtful.doubts], doubtful


def test_nothing_is_doubtful():
    kinds, doubtful = found(identity(1, steady()), identity(2, steady(120)))
    assert kinds == [] and doubtful.amount == 0 and doubtful.worst_frames(1) == []


def test_scores():
    kinds, doubtful = found(identity(1, steady(frames=range(2)), score=0.4), length=2)
    assert kinds == [('low score', 0), ('low score', 1)]
    assert doubtful.doubts[0].amount == pytest.approx(1 - 0.1 / 0.35)
    assert doubtful.amount == pytest.approx(1 - 0.1 / 0.35)
    kinds, doubtful = found(identity(1, {3: square(9)}, score=0.25))
    assert kinds == [('just below', 3)] and doubtful.doubts[0].amount == pytest.approx(0.5)
    assert found(identity(1, {3: square(9)}, score=0.15))[0] == []
    assert found(identity(1, {3: square(9)}, score=0.15), score_thr=0.1)[0][0][0] == 'low score'
    kinds, doubtful = found(identity(1, steady(frames=range(2)), cat=0.66), length=2)
    assert kinds == [('two classes', 0), ('two classes', 1)]
    assert doubtful.doubts[0].text == 'dog #1 0.99, cat 0.66'


def test_two_on_one_object():
    twice = identity(2, {4: square(29)}, name='cat')
    kinds, _ = found(identity(1, steady()), twice, length=12)
    assert sorted(kinds) == [('seen in few frames', 4), ('two identities on one object', 4)]


@pytest.mark.parametrize(('name', 'expected'), [('dog', [5]), ('cat', [])])
def test_look_alikes_meet(name, expected):
    """Their boxes overlap by half in frame 5, their masks by less."""
    other = {frame: square(120) for frame in range(12)}
    other[5] = square(30 + 9, y=40, height=20)
    other[4] = other[6] = square(80)
    kinds, _ = found(identity(1, steady()), identity(2, other, name=name))
    assert [frame for kind, frame in kinds if kind == 'look-alikes meet'] == expected


def test_gaps():
    missed = {f: m for f, m in steady().items() if f not in (4, 5)}
    assert found(identity(1, missed))[0] == [('gap', 4), ('gap', 5)]
    away = {f: m for f, m in steady().items() if not 2 <= f <= 8}
    kinds, doubtful = found(identity(1, away))
    assert kinds == [('gap', 9)] and doubtful.doubts[0].text == 'dog #1 for 7 frames'


def test_an_identity_that_breaks():
    first, second = steady(frames=range(5)), steady(frames=range(7, 12))
    kinds, doubtful = found(identity(1, first), identity(2, second))
    assert kinds == [('begins where another ended', 7)]
    assert doubtful.doubts[0].text == 'dog #2 after dog #1' and doubtful.doubts[0].amount > 0.8
    assert found(identity(1, first), identity(2, second, name='cat'))[0] == []
    far = {frame: square(150) for frame in second}
    assert found(identity(1, first), identity(2, far))[0] == []


def test_changes():
    masks = steady()
    masks |= {frame: square(20 + 2 * frame, side=20, height=40) for frame in range(6, 12)}
    kinds, doubtful = found(identity(1, masks))
    assert kinds == [('size changes', 6)] and doubtful.doubts[0].amount == 1
    masks = steady()
    masks |= {frame: square(60 + 2 * frame) for frame in range(6, 12)}
    kinds, doubtful = found(identity(1, masks))
    assert kinds == [('jumps', 6)] and doubtful.doubts[0].text == 'dog #1 by 42 pixels'
    fast = {frame: square(10 + 14 * frame) for frame in range(12)}
    assert found(identity(1, fast))[0] == []  # it always moves like that


def test_frames_apart_and_an_empty_video():
    low = identity(1, steady(), score=0.5)
    _, doubtful = found(low)
    assert doubtful.worst_frames(5) == [0, 5, 10]
    assert doubtful.worst_frames(1) == list(range(12))
    _, doubtful = found()
    assert doubtful.amount == 0.5 and doubtful.kinds == {'nothing was found': 1}
