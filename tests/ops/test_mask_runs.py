"""RLE from where masks change, against pycocotools."""

import numpy as np
import pytest
import torch

from mmvis_cl.ops.mask_runs import (
    changes,
    changes_of_windows,
    encode_from_runs,
    rle_of_changes,
)
from mmvis_cl.structures import encode_masks


@pytest.mark.parametrize('shape', [(1, 1), (1, 9), (9, 1), (2, 2), (37, 53), (480, 854)])
def test_equal_to_pycocotools(shape):
    generator = torch.Generator().manual_seed(0)
    h, w = shape
    noise = torch.rand(3, h, w, generator=generator) < torch.tensor([0.1, 0.5, 0.95])[:, None, None]
    coarse = torch.randn(6, 1, 3, 4, generator=generator)
    blobs = torch.nn.functional.interpolate(coarse, shape, mode='bicubic')[:, 0] > 0.3
    plain = torch.zeros(4, h, w, dtype=torch.bool)
    plain[1] = True
    plain[2, 0, 0] = plain[3, -1, -1] = True
    masks = torch.cat((plain, noise, blobs, plain.flip(0)))
    assert encode_from_runs(masks) == encode_masks(masks)
    assert encode_from_runs(masks[1:2]) == encode_masks(masks[1:2])
    assert encode_from_runs(masks[:0]) == encode_masks(masks[:0]) == []


def test_every_length_of_a_number():
    """Differences of either sign with one to five characters, around each limit."""
    lengths = sorted(
        {max(1, (1 << bits) + d) for bits in (4, 5, 9, 10, 14, 15, 19) for d in (-1, 0, 1)}
    )
    runs = np.array([*lengths, *lengths[::-1], 3])
    pixels = np.repeat(np.arange(len(runs)) % 2, runs).astype(bool)
    masks = torch.from_numpy(np.stack((pixels, ~pixels)))[:, :, None]
    assert encode_from_runs(masks) == encode_masks(masks)


@pytest.mark.parametrize('shape', [(1, 1), (1, 9), (9, 1), (12, 17)])
def test_changes_of_windows_are_those_of_the_whole_masks(shape):
    """Windows anywhere, of any size, none among them: full height, one pixel, noise in each."""
    rng = np.random.default_rng(0)
    h, w = shape
    masks, windows = np.zeros((40, h, w), bool), []
    for i, mask in enumerate(masks):
        top, left = rng.integers(0, h), rng.integers(0, w)
        bottom, right = rng.integers(top, h + 1), rng.integers(left, w + 1)
        if i % 3 == 0:
            top, bottom = 0, h
        pixels = rng.random((bottom - top, right - left)) < (1.0 if i % 4 == 0 else 0.7)
        mask[top:bottom, left:right] = pixels
        windows.append((top, left, pixels))
    found = changes_of_windows(windows, shape)
    np.testing.assert_array_equal(found, changes(torch.from_numpy(masks)).numpy())
    assert rle_of_changes(found, len(masks), shape) == encode_masks(masks)
    assert rle_of_changes(found[:0], 0, shape) == []
