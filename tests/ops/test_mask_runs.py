"""RLE from where masks change, against pycocotools."""

import numpy as np
import pytest
import torch

from mmvis_cl.ops.mask_runs import encode_from_runs
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
