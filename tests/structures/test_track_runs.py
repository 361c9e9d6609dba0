"""Areas and shared pixels from runs, against pycocotools."""

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mmvis_cl.errors import InputError
from mmvis_cl.evaluation import evaluate_tracks
from mmvis_cl.structures import track_runs
from mmvis_cl.structures.track_runs import TrackRuns


def encoded(mask, as_str):
    rle = mask_utils.encode(np.asfortranarray(mask, np.uint8))
    return dict(rle, counts=rle['counts'].decode()) if as_str else rle


def random_track(rng, shape, frames, as_str):
    """Blobs, sometimes of noise, sometimes none at all, with or without the frame's corners."""
    track = []
    for _ in range(frames):
        if rng.random() < 0.2:
            track.append(None)
            continue
        mask = np.zeros(shape, bool)
        top, left = (rng.integers(0, side) for side in shape)
        bottom, right = top + rng.integers(1, shape[0] + 1), left + rng.integers(1, shape[1] + 1)
        mask[top:bottom, left:right] = True
        if rng.random() < 0.3:
            mask &= rng.random(shape) < 0.8
        mask[[0, -1], [0, -1]] = rng.random(2) < 0.3
        track.append(encoded(mask, as_str))
    return track


def expected(tracks):
    """Areas (n, frames) and shared pixels (n, n, frames) by pycocotools, one by one."""
    areas = [[int(mask_utils.area(rle)) if rle else 0 for rle in track] for track in tracks]
    shared = [
        [
            [int(mask_utils.area(mask_utils.merge([a, b], True))) if a and b else 0
             for a, b in zip(one, other, strict=True)]
            for other in tracks
        ]
        for one in tracks
    ]  # fmt: skip
    return np.array(areas), np.array(shared)


@pytest.mark.parametrize('shape', [(1, 1), (1, 40), (40, 1), (30, 40), (2, 700)])
@pytest.mark.parametrize('frames', [1, 30])
def test_equal_to_pycocotools(shape, frames):
    rng = np.random.default_rng(shape[0] + frames)
    tracks = [random_track(rng, shape, frames, as_str=i != 1) for i in range(5)]
    tracks[3] = [None] * frames
    areas, shared = expected(tracks)
    runs = TrackRuns(tracks)
    assert (runs.areas == areas).all()
    found = [[runs.shared(i, j, 0) for j in range(5)] for i in range(5)]
    assert found == shared.sum(-1).tolist()


def test_full_and_empty_masks_and_counts_of_several_groups():
    shape = 3000, 4000  # counts up to 12 million: five groups
    masks = np.zeros((4, *shape), np.uint8)
    masks[1] = 1
    masks[2, 100:2000, 7:3990] = 1
    masks[3, -1, -1] = 1
    tracks = [[encoded(mask, True)] for mask in masks]
    runs = TrackRuns(tracks)
    assert runs.areas[:, 0].tolist() == [0, 3000 * 4000, 1900 * 3983, 1]
    assert runs.first[1:, 0].tolist() == [0, 7 * 3000 + 100, 3000 * 4000 - 1]
    assert runs.end[1:, 0].tolist() == [3000 * 4000, 3989 * 3000 + 2000, 3000 * 4000]
    assert runs.shared(1, 2, 0) == 1900 * 3983
    assert runs.shared(2, 3, 0) == runs.shared(0, 1, 0) == 0


@pytest.mark.parametrize('kept', [0, 3000, 1 << 26])
def test_long_videos_come_in_blocks(monkeypatch, kept):
    monkeypatch.setattr(track_runs, '_BLOCK', 7)
    monkeypatch.setattr(track_runs, '_AT_ONCE', 16)
    monkeypatch.setattr(track_runs, '_KEPT', kept)
    rng = np.random.default_rng(0)
    tracks = [random_track(rng, (9, 11), 23, as_str=True) for _ in range(5)]
    areas, shared = expected(tracks)
    runs = TrackRuns(tracks)
    assert (runs.areas == areas).all()
    assert [block.stop - block.start for block in runs.blocks] == [7, 7, 7, 2]
    for number, block in enumerate(runs.blocks):
        found = [[runs.shared(i, j, number) for j in range(5)] for i in range(5)]
        assert found == shared[..., block].sum(-1).tolist()


def test_frames_too_large_for_a_block_of_32_bits():
    size = [2**15, 2**15 - 1]  # two frames have just under 2**31 pixels
    pixels = size[0] * size[1]
    counts = [[pixels - 20, 15, 5], [0, pixels], [pixels]]
    track = [
        mask_utils.frPyObjects(dict(size=size, counts=numbers), *size) if numbers else None
        for numbers in (*counts, None)
    ]
    runs = TrackRuns([track, track[1:] + track[:1]])
    assert runs.blocks == [slice(0, 2), slice(2, 4)]
    assert runs.areas.tolist() == [[15, pixels, 0, 0], [pixels, 0, 0, 15]]
    assert [runs.shared(0, 1, block) for block in range(2)] == [15, 0]
    size[1] += 1  # now two are too many
    full = mask_utils.frPyObjects(dict(size=size, counts=[0, 2**30]), *size)
    runs = TrackRuns([[full, full], [full, None]])
    assert [runs.shared(0, 1, block) for block in range(2)] == [2**30, 0]


def test_the_frame_of_a_broken_mask_in_a_later_block(monkeypatch):
    monkeypatch.setattr(track_runs, '_BLOCK', 2)
    track = [dict(size=[2, 3], counts='06')] * 5
    broken = [*track[:3], dict(track[0], counts='04'), track[0]]
    with pytest.raises(InputError, match=r'^frame 3: the RLE covers 4 pixels'):
        TrackRuns([track, broken])


@pytest.mark.parametrize(
    ('counts', 'reason'),
    [
        ('04', 'covers 4 pixels, the video has 6'),
        ('0T1', 'covers'),
        ('0P', 'ends within a number'),
        ('', 'is broken'),
        ('0 6', 'characters that RLE does not have'),
        ('27N', 'negative'),
    ],
)
def test_broken_rle_is_told_with_its_video_and_frame(counts, reason):
    good = dict(size=[2, 3], counts='06')
    assert mask_utils.area(good) == 6
    track = dict(video_id=7, category_id=1, segmentations=[good, good], iscrowd=0, id=1)
    broken = dict(track, segmentations=[good, dict(good, counts=counts)], score=0.5)
    annotations = dict(
        videos=[dict(id=7, height=2, width=3, length=2)],
        categories=[dict(id=1, name='a')],
        annotations=[track],
    )
    with pytest.raises(InputError, match=rf'^results: entry 0 \(video 7\), frame 1: .*{reason}'):
        evaluate_tracks([broken], annotations)
    # Who compares tracks that went through no door is told as well.
    with pytest.raises(InputError, match=r'^frame 1: .*(RLE)'):
        TrackRuns([broken['segmentations']])
    assert evaluate_tracks([dict(track, score=0.5)], annotations)['AP'] == pytest.approx(1)
