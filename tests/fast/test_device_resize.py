"""Frames resized in integers are Pillow's, bit for bit."""

import numpy as np
import pytest
import torch
from PIL import Image

from mmvis_cl.fast.device_resize import filter_tables, resize_frames

SIZES = [
    ((72, 128), (48, 85)),  # down
    ((36, 64), (48, 85)),  # up
    ((216, 384), (48, 85)),  # far down: ten taps
    ((48, 85), (48, 85)),  # as it is
    ((48, 86), (48, 85)),  # one side alone
    ((1, 1), (7, 9)),
    ((97, 61), (3, 2)),
]


@pytest.mark.parametrize(('old', 'new'), SIZES)
def test_pixels_are_those_of_pillow(old, new):
    frames = np.random.default_rng(0).integers(0, 256, (2, *old, 3), dtype=np.uint8)
    frames[1] = np.where(frames[1] > 127, 255, 0)  # the ends of the range
    expected = [Image.fromarray(f).resize(new[::-1], Image.Resampling.BILINEAR) for f in frames]
    either = [resize_frames(torch.from_numpy(frames), new, order) for order in (False, True)]
    assert any(np.array_equal(found.numpy(), np.stack(expected)) for found in either)


def test_random_sizes():
    rng = np.random.default_rng(1)
    for _ in range(60):
        old = rng.integers(2, 120, 2)
        new = np.maximum(1, np.rint(old * rng.uniform(0.1, 3))).astype(int)
        image = rng.integers(0, 256, (*old, 3), dtype=np.uint8)
        expected = Image.fromarray(image).resize(new[::-1].tolist(), Image.Resampling.BILINEAR)
        either = [
            resize_frames(torch.from_numpy(image)[None], tuple(new.tolist()), heights_first)[0]
            for heights_first in (False, True)
        ]
        assert any(np.array_equal(found.numpy(), np.asarray(expected)) for found in either)


def test_weights_sum_to_one():
    for old, new in ((1280, 853), (640, 853), (3840, 853)):
        first, weights = filter_tables(old, new)
        assert np.abs(weights.sum(0) / 2**22 - 1).max() < 1e-5
        assert (first + (weights > 0).sum(0) <= old).all()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_a_gpu_gives_the_same_pixels():
    frames = torch.randint(0, 256, (2, 720, 1280, 3), dtype=torch.uint8)
    there = resize_frames(frames.cuda(), (480, 853)).cpu()
    assert torch.equal(there, resize_frames(frames, (480, 853)))
