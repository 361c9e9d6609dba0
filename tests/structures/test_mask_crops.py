"""Masks cut out from RLE, against those that pycocotools decodes."""

import numpy as np
import pycocotools.mask as mask_util
import pytest

from mmvis_cl.structures import encode_masks
from mmvis_cl.structures.mask_crops import crops_of_masks, mask_crops


def all_kinds(h, w, seed=0):
    """Empty, full, single pixels at the corners, rows, columns, noise, noise in a part."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((14, h, w), bool)
    masks[1] = True
    masks[2, 0, 0] = masks[3, -1, -1] = masks[4, -1, 0] = masks[5, 0, -1] = True
    masks[6, h // 2] = masks[7, :, w // 2] = True
    masks[8] = rng.random((h, w)) > 0.5
    masks[9, h // 3 : h // 2 + 1, w // 4 : w // 2 + 1] = True
    masks[10] = masks[9] & masks[8]
    masks[11] = ~masks[9]
    masks[13, :, : w // 2 + 1] = True
    return masks[rng.permutation(len(masks))]


def put_back(crops, shape):
    masks = np.zeros((len(crops), *shape), bool)
    for mask, crop in zip(masks, crops, strict=True):
        h, w = crop.mask.shape
        mask[crop.top : crop.top + h, crop.left : crop.left + w] = crop.mask
    return masks


@pytest.mark.parametrize('shape', [(1, 1), (1, 9), (9, 1), (4, 4), (37, 53), (90, 160)])
def test_the_crops_are_the_masks_and_the_smallest(shape):
    masks = all_kinds(*shape)
    rles = encode_masks(masks)
    boxes = mask_util.toBbox(rles).astype(int)
    for crops in (mask_crops(rles, shape), crops_of_masks(masks)):
        np.testing.assert_array_equal(put_back(crops, shape), masks)
        assert [crop.area for crop in crops] == masks.sum((1, 2)).tolist()
        for crop, (x, y, w, h) in zip(crops, boxes, strict=True):
            assert crop.mask.dtype == np.uint8 and crop.mask.flags.c_contiguous
            assert (crop.left, crop.top, *crop.mask.shape) == (x, y, h, w)  # 0 of an empty one


def test_counts_in_bytes_and_no_mask():
    masks = all_kinds(20, 30)
    rles = mask_util.encode(np.asfortranarray(masks.transpose(1, 2, 0), np.uint8))
    np.testing.assert_array_equal(put_back(mask_crops(rles, (20, 30)), (20, 30)), masks)
    assert mask_crops([], (20, 30)) == []


def test_masks_of_other_frames_and_broken_ones():
    rle = encode_masks(np.ones((1, 4, 6), bool))[0]
    with pytest.raises(ValueError, match=r'masks of \[\(4, 6\)\] \(h, w\) for a frame of \(6, 4\)'):
        mask_crops([rle], (6, 4))
    for counts in ('0h', '0', '~~', 'g0', ''):  # 24 pixels of object are '0h0'
        with pytest.raises(ValueError, match='a mask is no'):
            mask_crops([rle, dict(size=[4, 6], counts=counts)], (4, 6))
