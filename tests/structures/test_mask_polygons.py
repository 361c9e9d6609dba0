"""Outlines enclose the masks that they are of, by pycocotools' rule."""

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_util

from mmvis_cl.structures.mask_crops import crops_of_masks
from mmvis_cl.structures.mask_polygons import LEAST_IOU, mask_polygons

SIZE = 90, 120


def enclosed(polygons, size=SIZE):
    rles = mask_util.frPyObjects([p.reshape(-1).astype(float).tolist() for p in polygons], *size)
    return mask_util.decode(mask_util.merge(rles))


def polygons_of(mask):
    (crop,) = crops_of_masks(mask[None] > 0)
    return mask_polygons(crop)


def test_masks_of_all_kinds():
    """Noise, at random places and up to the edges of the frame, in pixels and in blocks."""
    rng = np.random.default_rng(0)
    exact = 0
    for round_number in range(80):
        scale = (1, 5)[round_number % 2]
        small = rng.random([side // scale for side in SIZE]) < rng.choice([0.02, 0.3, 0.6, 0.97])
        mask = cv2.resize(small.astype(np.uint8), SIZE[::-1], interpolation=cv2.INTER_NEAREST)
        mask[: rng.integers(40), :] = 0
        if not mask.any():
            continue
        found = enclosed(polygons_of(mask))
        iou = (found & mask).sum() / (found | mask).sum()
        assert iou >= LEAST_IOU
        exact += iou == 1
    assert exact > 40  # what is as ragged as this is followed exactly


def test_a_large_round_mask_needs_few_corners():
    mask = np.zeros(SIZE, np.uint8)
    cv2.ellipse(mask, (60, 45), (50, 38), 20, 0, 360, 1, -1)
    cv2.circle(mask, (60, 45), 12, 0, -1)
    (polygon,) = polygons_of(mask)
    assert len(polygon) < 60
    found = enclosed([polygon])
    assert found[45, 60] == 0  # the hole
    assert (found & mask).sum() / (found | mask).sum() >= LEAST_IOU
    # nowhere is it more than a pixel off
    apart = cv2.distanceTransform(np.pad(found, 1, mode='edge'), cv2.DIST_L2, 5)[1:-1, 1:-1]
    assert apart[(found & ~mask) > 0].max() <= 1.5


@pytest.mark.parametrize('place', [(0, 0), (89, 119), (40, 7)])
def test_one_pixel(place):
    mask = np.zeros(SIZE, np.uint8)
    mask[place] = 1
    (polygon,) = polygons_of(mask)
    y, x = place
    assert sorted(map(tuple, polygon.tolist())) == [
        *((x, y), (x, y + 1), (x + 1, y), (x + 1, y + 1)),
    ]


def test_pieces_come_by_their_size():
    mask = np.zeros(SIZE, np.uint8)
    mask[2:4, 2:4] = mask[50:70, 60:90] = mask[30:33, 10:50] = 1
    sizes = [int(enclosed([polygon]).sum()) for polygon in polygons_of(mask)]
    assert sizes == [600, 120, 4]
    assert polygons_of(np.zeros(SIZE, np.uint8)) == []
