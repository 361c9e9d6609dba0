"""The fast ways of drawing masks, against slow and plain ones."""

import numpy as np
import pytest

from mmvis_cl.structures import encode_masks
from mmvis_cl.structures.mask_crops import mask_crops
from mmvis_cl.visualization import draw_tracks, identity_colors
from mmvis_cl.visualization.mask_overlay import fill_masks, outline_masks


def blobs(n, h, w, seed=0):
    """Ellipses that overlap and leave the frame, single pixels, thin lines, a ring, nothing."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:h, :w]
    masks = []
    for _ in range(n):
        center, axes = rng.uniform(0, (h, w)), rng.uniform(2, (h / 3, w / 3))
        masks.append(np.hypot((y - center[0]) / axes[0], (x - center[1]) / axes[1]) < 1)
    special = np.zeros((6, h, w), bool)
    special[0, h // 2, w // 3] = special[1, h // 3, :] = special[2, :, 2 * w // 3 :][:, :2] = True
    special[3] = masks[0] & ~masks[1]
    special[4, :4, :4] = special[4, -1, -1] = True
    return np.concatenate((masks, special))


def slowly_filled(image, masks, colors, opacity):
    out = image.astype(float)
    for i in np.argsort(-masks.sum((1, 2)), kind='stable'):
        out[masks[i]] = (1 - opacity) * image[masks[i]] + opacity * colors[i].astype(float)
    return out


def grown(mask, square):
    """Each pixel of which a neighbour, of 8 or of 4, is in the mask."""
    out = np.pad(mask, 1)
    padded = out.copy()
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            if square or not (dy and dx):
                out |= np.roll(padded, (dy, dx), (0, 1))
    return out[1:-1, 1:-1]


def border(mask, thickness):
    """Half inside and half outside; beyond the frame there is no mask."""
    pad = thickness
    mask = np.pad(mask, pad)
    outer, inner = mask, ~mask
    for i in range(thickness // 2):
        outer = grown(outer, i % 2)
    for i in range((thickness + 1) // 2):
        inner = grown(inner, i % 2)
    return (outer & inner)[pad:-pad, pad:-pad]


@pytest.mark.parametrize('shape', [(60, 80), (33, 47)])
@pytest.mark.parametrize('opacity', [0.0, 0.45, 1.0])
def test_fills_are_within_a_level_of_the_blend(shape, opacity):
    image = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    masks = blobs(12, *shape)
    colors = identity_colors(range(len(masks)))
    canvas = image.copy()
    fill_masks(canvas, mask_crops(encode_masks(masks), shape), colors, opacity)
    expected = slowly_filled(image, masks, colors, opacity)
    assert np.abs(canvas - expected).max() <= 1
    assert (canvas == image)[~masks.any(0)].all()


@pytest.mark.parametrize('thickness', [1, 2, 3, 4, 7])
def test_outlines_are_where_the_borders_are(thickness):
    h, w = 60, 80
    masks = blobs(12, h, w, thickness)
    colors = identity_colors(range(len(masks)))
    canvas = np.full((h, w, 3), 7, np.uint8)
    outline_masks(canvas, mask_crops(encode_masks(masks), (h, w)), colors, thickness)
    expected = np.full((h, w, 3), 7, np.uint8)
    for mask, color in zip(masks, colors, strict=True):
        line = border(mask, thickness)
        # a pixel of the mask beside one that is not is on its line, whatever the thickness
        assert line[mask & grown(~mask, False)].all() and line.any() == mask.any()
        expected[line] = color
    np.testing.assert_array_equal(canvas, expected)


@pytest.mark.parametrize('h', range(1, 6))
@pytest.mark.parametrize('w', range(1, 6))
def test_masks_of_few_pixels(h, w):
    """OpenCV takes four numbers for a colour or for an array, by the size of the other one."""
    image = np.random.default_rng(w).integers(0, 256, (20, 20, 3), np.uint8)
    masks = np.zeros((1, 20, 20), bool)
    masks[0, 3 : 3 + h, 5 : 5 + w] = True
    crops, colors = mask_crops(encode_masks(masks), (20, 20)), identity_colors([2])
    canvas = image.copy()
    fill_masks(canvas, crops, colors, 0.45)
    assert np.abs(canvas - slowly_filled(image, masks, colors, 0.45)).max() <= 1
    outline_masks(canvas, crops, colors, 1)
    assert (canvas[border(masks[0], 1)] == colors[0]).all()


def test_the_whole_picture_from_rle_and_from_dense_masks():
    """Where there is no box and no label, fills with outlines over all of them."""
    h, w = 400, 560
    image = np.random.default_rng(0).integers(0, 256, (h, w, 3), np.uint8)
    masks = blobs(8, h, w, 3)
    n = len(masks)
    boxes = np.tile(np.float32([[2, 390, 20, 398]]), (n, 1))  # out of the way
    rles = encode_masks(masks)
    drawn = draw_tracks(image, rles, boxes, [''] * n, None, range(n))
    np.testing.assert_array_equal(drawn, draw_tracks(image, masks, boxes, [''] * n, None, range(n)))
    colors = identity_colors(range(n))
    expected = slowly_filled(image, masks, colors, 0.45)
    for mask, color in zip(masks, colors, strict=True):
        expected[border(mask, 3)] = color
    there = np.ones((h, w), bool)
    there[380:] = there[:, :60] = False
    there[:, 60:200] &= np.arange(h)[:, None] < 150  # labels move up and to the right
    assert np.abs(drawn - expected)[there].max() <= 1
