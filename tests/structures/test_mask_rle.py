import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from torch.nn import functional as F

from mmvis_cl.structures import encode_masks, mask_logits_to_image


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
