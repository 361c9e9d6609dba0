"""IoU of tracks against dense masks, and what may be left out."""

import copy

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mmvis_cl.structures.track_iou import SharedMasks, mask_areas, spatio_temporal_iou
from mmvis_cl.structures.track_runs import TrackRuns

HEIGHT, WIDTH, FRAMES = 30, 40, 23


def random_tracks(rng, count):
    """Dense blobs (count, FRAMES, HEIGHT, WIDTH) and their RLE; some frames are None."""
    dense = np.zeros((count, FRAMES, HEIGHT, WIDTH), bool)
    tracks = []
    for track in dense:
        top, left = rng.integers(0, 12, 2)
        rles = []
        for mask in track:
            if rng.random() < 0.2:
                rles.append(None)
                continue
            height, width = rng.integers(8, 18, 2)
            mask[top : top + height, left : left + width] = rng.random((height, width)) < 0.9
            rles.append(mask_utils.encode(np.asfortranarray(mask, np.uint8)))
        tracks.append(rles)
    return dense, tracks


@pytest.fixture(scope='module')
def groups():
    rng = np.random.default_rng(0)
    one, tracks = random_tracks(rng, 6)
    two, others = random_tracks(rng, 5)
    others[0], two[0] = tracks[2], one[2]
    shared = (one[:, None] & two).sum((2, 3, 4))
    return tracks, others, shared / (one[:, None] | two).sum((2, 3, 4))


def test_equal_to_dense_masks(groups):
    tracks, others, expected = groups
    assert expected[2, 0] == 1
    assert expected[expected < 1].max() > 0.2 and (expected > 0).sum() > 20
    assert (spatio_temporal_iou(tracks, others) == expected).all()


def test_exact_from_the_least_iou_that_matters(groups):
    tracks, others, expected = groups
    for least in np.unique(expected):
        found = spatio_temporal_iou(tracks, others, min_iou=least)
        above = expected >= least
        assert (found[above] == expected[above]).all()
        assert np.isin(found[~above], [0, *expected[~above]]).all()
    assert (found == 0).sum() == found.size - 1


def test_pairs_that_are_not_wanted_are_0(groups, monkeypatch):
    tracks, others, expected = groups
    wanted = np.random.default_rng(1).random(expected.shape) < 0.4
    before = copy.deepcopy(wanted)
    found = spatio_temporal_iou(tracks, others, wanted=wanted)
    assert (found == np.where(wanted, expected, 0)).all()
    assert (wanted == before).all()

    def never(*args):
        raise AssertionError('nothing is left to compare')

    monkeypatch.setattr(TrackRuns, 'shared', never)
    assert not spatio_temporal_iou(tracks, others, wanted=np.zeros_like(wanted)).any()
    # Tracks of very different areas can not overlap by half.
    small = [[mask and mask_utils.frPyObjects([[0, 0, 2, 0, 2, 2]], HEIGHT, WIDTH)[0] for mask in t]
             for t in tracks]  # fmt: skip
    assert not spatio_temporal_iou(tracks, small, min_iou=0.5).any()


def test_only_tracks_that_can_overlap_are_compared(monkeypatch):
    """Of one pixel each, at two places: the third and fourth are the first and second again."""
    masks = np.zeros((2, HEIGHT, WIDTH), np.uint8)
    masks[0, 0, 0] = masks[1, 2, 3] = 1
    tracks = [[mask_utils.encode(np.asfortranarray(mask))] for mask in masks]
    compared, shared = [], TrackRuns.shared

    def spy(runs, i, j, block):
        compared.append((i, j))
        return shared(runs, i, j, block)

    monkeypatch.setattr(TrackRuns, 'shared', spy)
    assert (spatio_temporal_iou(tracks, tracks) == np.eye(2)).all()
    assert compared == [(0, 2), (1, 3)]


def test_areas():
    rles = [mask_utils.encode(np.asfortranarray(np.ones((4, n), np.uint8))) for n in (2, 5)]
    assert mask_areas([None, *rles, None]).tolist() == [0, 8, 20, 0]
    assert mask_areas([]).tolist() == mask_areas([None])[:0].tolist() == []


def test_areas_of_more_masks_than_pycocotools_takes_at_once():
    tall = [mask_utils.encode(np.asfortranarray(np.ones((n, 1), np.uint8))) for n in range(1, 601)]
    assert mask_areas(tall).tolist() == list(range(1, 601))
    track = [tall[4] if frame % 3 else None for frame in range(600)]
    assert spatio_temporal_iou([track], [track, track[::-1]]).tolist() == [[1, 200 / 600]]


def test_equal_lists_of_masks_share_a_value():
    rle = dict(size=[1, 2], counts='02')
    other = dict(size=[1, 2], counts='11')
    shared = SharedMasks()

    def value(masks, scope=None):
        return shared.get(copy.deepcopy(masks), object, scope)

    first = value([None, rle, other])
    assert value([None, rle, other]) is first
    different = [[None, rle, None], [rle, None, other], [None, rle, other, None], [other]]
    different += [[dict(rle, size=[2, 1])], [dict(rle, counts=b'02')], [None], [[[0, 0, 1, 1]]]]
    values = [first, value([None, rle, other], scope=1), *map(value, different)]
    assert len({id(v) for v in values}) == len(values)
