import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from torch.nn import functional as F

from mmvis_cl.structures import (
    encode_logits,
    encode_masks,
    encode_with_quality,
    mask_logits_to_image,
    vote_on_masks,
)
from mmvis_cl.structures.mask_windows import positive_windows


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


@pytest.mark.parametrize(('chunk', 'together'), [(None, 5), (3 * 96 * 160 - 1, 2), (1, 1)])
def test_no_more_pixels_are_upsampled_at_once_than_wanted(monkeypatch, chunk, together):
    upsampled, interpolate = [], F.interpolate

    def spy(masks, size, **options):
        upsampled.append((len(masks), size))
        return interpolate(masks, size, **options)

    monkeypatch.setattr(F, 'interpolate', spy)
    mask_logits_to_image(torch.zeros(5, 24, 40), (96, 160), (96, 160), chunk_pixels=chunk)
    parts = [min(together, 5 - i) for i in range(0, 5, together)]
    assert upsampled == [(n, (96, 160)) for n in parts]


@pytest.mark.parametrize('smooth', [False, True])
def test_of_an_images_shape_the_channels_are_left_out(smooth):
    shape = np.zeros((9, 15, 3)).shape
    masks = mask_logits_to_image(torch.zeros(2, 24, 40), (90, 150), shape, smooth=smooth)
    assert masks.shape == (2, 9, 15)


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


def all_kinds_of_logits(h, w):
    """Noise, blobs, lines a logit wide, spots at each border, nothing, everything, odd numbers."""
    rng = torch.Generator().manual_seed(h * w)
    logits = -torch.rand(24, h, w, generator=rng)
    logits[0] = torch.randn(h, w, generator=rng)
    coarse = torch.randn(5, 1, 3, 4, generator=rng)
    logits[1:6] = F.interpolate(coarse, (h, w), mode='bicubic')[:, 0]
    logits[6, h // 2] = logits[7, :, w // 3] = 0.4
    for i, (y, x) in enumerate([(0, 0), (0, -1), (-1, 0), (-1, -1), (h // 2, w // 2)]):
        logits[8 + i, y, x] = 2.0
    logits[13:15] = torch.tensor([1.0, -1.0])[:, None, None]
    logits[15] = logits[16] = 0.0
    logits[16, h // 2, w // 2] = 1e-30
    logits[17, 0], logits[18, :, 0] = 3.0, 3.0
    logits[19, h // 3 : h // 2 + 1, w // 3 : w // 2 + 1] = 5.0
    logits[20, h // 3, w // 3] = float('inf')
    logits[21, h // 2, w // 2 :] = torch.tensor(1.0)
    logits[21, h // 2, -1] = float('nan')
    logits[22] = logits[0].abs()
    logits[23, ::2] = 1.0
    return logits


# the last ones make outputs that PyTorch interpolates by another kernel
SIZES = [(24, 40), (33, 17), (30, 54), (3, 60), (60, 2), (16, 16), (8, 9), (1, 1)]


@pytest.mark.parametrize('flip', [False, True])
@pytest.mark.parametrize('size', SIZES)
def test_rle_from_logits_is_that_of_the_dense_masks(size, flip):
    """Bit for bit: padding, other sizes up and down, odd ones, the same from bfloat16."""
    h, w = 4 * size[0], 4 * size[1]
    logits = all_kinds_of_logits(*size)
    for img_shape in ((h, w), (h - 3, w - 2), (h - h // 3, w - w // 3)):
        for out_shape in (img_shape, (2 * h, 2 * w), (h // 2 + 1, w // 3 + 1), (h + 7, 31), (1, 1)):
            for given in (logits, logits.bfloat16()):
                masks = mask_logits_to_image(given, img_shape, out_shape, flip=flip)
                found = encode_logits(given, img_shape, out_shape, flip)
                assert found == encode_masks(masks)
    decoded = mask_util.decode(found)
    np.testing.assert_array_equal(decoded.transpose(2, 0, 1), masks)


def test_rle_from_random_logits_of_a_frame():
    """Signs of sums near 0 too: a whole frame has 400 thousand pixels a mask."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(6, 120, 216, generator=generator)
    # windows of all sizes
    for i in range(1, 6):
        y, x = 20 * i, 30 * i
        logits[i, :y] = logits[i, :, :x] = -1
        logits[i, y + 4 * i :] = logits[i, :, x + 7 * i :] = -1
    for out_shape in ((480, 854), (720, 1280), (360, 640)):
        dense = mask_logits_to_image(logits, (480, 854), out_shape)
        assert encode_logits(logits, (480, 854), out_shape) == encode_masks(dense)


@pytest.mark.parametrize('flip', [False, True])
@pytest.mark.parametrize('size', SIZES)
def test_smooth_masks_and_their_quality(size, flip):
    """In windows what PyTorch makes of the whole, but for logits that are 0 within rounding."""
    h, w = 4 * size[0], 4 * size[1]
    logits = all_kinds_of_logits(*size).nan_to_num(0, 9, -9)
    for img_shape in ((h, w), (h - 3, w - 2), (h - h // 3, w - w // 3)):
        for out_shape in (img_shape, (2 * h, 2 * w), (h // 2 + 1, w // 3 + 1), (h + 7, 31), (1, 1)):
            up = F.interpolate(logits[:, None], (h, w), mode='bilinear')
            up = up[..., : img_shape[0], : img_shape[1]]
            up = F.interpolate(up.flip(-1) if flip else up, out_shape, mode='bilinear')[:, 0]
            dense = mask_logits_to_image(logits, img_shape, out_shape, flip=flip, smooth=True)
            assert torch.equal(dense, up > 0)
            rles, quality = encode_with_quality(logits, img_shape, out_shape, flip, smooth=True)
            assert encode_logits(logits, img_shape, out_shape, flip, smooth=True) == rles
            found = torch.from_numpy(mask_util.decode(rles).transpose(2, 0, 1)).bool()
            assert (up.abs()[found != dense] < 1e-5).all()
            np.testing.assert_array_equal(quality[:, 1], found.sum((1, 2)))
            sums = (up.sigmoid() * found).double().sum((1, 2))
            np.testing.assert_allclose(quality[:, 0], sums, rtol=1e-5)


def test_quality_of_masks_that_are_not_smooth():
    logits = all_kinds_of_logits(24, 40)
    sizes = (90, 150), (60, 200)
    rles, quality = encode_with_quality(logits, *sizes)
    assert rles == encode_logits(logits, *sizes)
    up = F.interpolate(logits[:, None], (96, 160), mode='bilinear')[..., :90, :150]
    up = F.interpolate(up, sizes[1], mode='nearest')[:, 0]
    np.testing.assert_array_equal(quality[:, 1], (up > 0).sum((1, 2)))
    sums = torch.where(up > 0, up.sigmoid(), 0).double().sum((1, 2))
    np.testing.assert_allclose(quality[:, 0], sums, rtol=1e-5)
    none = encode_with_quality(logits[:0], *sizes)
    assert none[0] == [] and none[1].shape == (0, 2)


def test_no_more_is_made_of_a_mask_than_its_window():
    logits = torch.full((4, 120, 216), -1.0)
    logits[0, 50:60, 100:140] = 1
    logits[1, 50, 100] = 1
    logits[2], logits[3] = 0, 1  # 0 is not positive
    windows = positive_windows(logits, (480, 854), (480, 854), False)
    shapes = [pixels.shape for *_, pixels in windows]
    assert shapes[0] == (12 * 4 - 4, 42 * 4 - 4) and windows[0][:2] == (198, 398)
    # of one logit as much as PyTorch has to be given, that it takes the same kernel, more than
    # 128 pixels; 2 at each of four sides are left out
    assert sum(shapes[1]) == 128 + 4 - 8 and shapes[2] == (0, 0) and shapes[3] == (480, 854)
    assert encode_logits(logits[:0], (480, 854), (480, 854)) == []


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
