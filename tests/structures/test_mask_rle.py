import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from torch.nn import functional as F

from mmvis_cl.structures import encode_masks, mask_logits_to_image, vote_on_masks


@pytest.mark.parametrize('out_shape', [(90, 150), (180, 300), (45, 75)])
def test_masks_of_the_original_size(out_shape):
    """x4 bilinear, cut, nearest, probability above one half: in chunks or not."""
    torch.manual_seed(0)
    logits = torch.randn(5, 24, 40)
    prob = F.interpolate(logits[None], (96, 160), mode='bilinear', align_corners=False).sigmoid()
    expected = F.interpolate(prob[..., :90, :150], out_shape, mode='nearest')[0] > 0.5
    for chunk in (1, 2 * 96 * 160, 1 << 24):
        masks = mask_logits_to_image(logits, (90, 150), out_shape, chunk_pixels=chunk)
        assert torch.equal(masks, expected)


def test_no_mask():
    assert mask_logits_to_image(torch.zeros(0, 24, 40), (90, 150), (9, 15)).shape == (0, 9, 15)
    assert encode_masks(torch.zeros(0, 9, 15)) == []


def test_rle_decodes_to_the_mask():
    masks = np.random.default_rng(0).random((3, 9, 15)) > 0.5
    rles = encode_masks(torch.from_numpy(masks))
    assert all(isinstance(rle['counts'], str) for rle in rles)
    np.testing.assert_array_equal(mask_util.decode(rles).transpose(2, 0, 1), masks)


def test_masks_of_a_mirrored_image_are_turned_back():
    """Logits of the mirrored image give what the image itself gives, also after resizing."""
    torch.manual_seed(0)
    logits = torch.randn(5, 24, 40)
    for out_shape in ((96, 160), (90, 150), (43, 71)):
        expected = mask_logits_to_image(logits, (96, 160), out_shape)
        masks = mask_logits_to_image(logits.flip(-1), (96, 160), out_shape, flip=True)
        assert torch.equal(masks, expected)
    # the padding on the right is cut off before the mask is turned
    masks = mask_logits_to_image(logits, (96, 152), (96, 152), flip=True)
    assert torch.equal(masks, mask_logits_to_image(logits, (96, 152), (96, 152)).flip(-1))


def vote(masks, votes):
    frames = [
        [rle if mask.any() else None for rle, mask in zip(encode_masks(frame), frame, strict=True)]
        for frame in masks
    ]
    return frames, vote_on_masks(frames, votes)


@pytest.mark.parametrize('n', [1, 2, 3, 4, 7])
def test_votes_on_random_masks(n):
    rng = np.random.default_rng(n)
    for _ in range(5):
        masks = rng.random((3, n, 5, 7)) > rng.random((3, n, 1, 1))
        votes = rng.integers(1, 6, n).tolist()  # small, so that there are ties
        _, voted = vote(masks, votes)
        expected = 2 * np.tensordot(masks, votes, (1, 0)) >= sum(votes)
        for rle, mask in zip(voted, expected, strict=True):
            assert (rle is None) == (not mask.any())
            if rle is not None:
                assert rle == encode_masks(mask[None])[0]


def test_a_tie_is_for_the_mask_and_absent_ones_are_empty():
    masks = np.zeros((2, 2, 4, 4), bool)
    masks[0, 0, :2] = masks[0, 1, 1:3] = masks[1, 0, :1] = True
    _, voted = vote(masks, [5, 5])
    np.testing.assert_array_equal(mask_util.decode(voted[0]), masks[0].any(0))
    np.testing.assert_array_equal(mask_util.decode(voted[1]), masks[1, 0])
    frames, voted = vote(masks, [4, 5])
    assert voted == [frames[0][1], None]
    # nothing in common
    masks = np.eye(3, dtype=bool)[None, :, None]
    assert vote(masks, [1, 1, 1])[1] == [None]
