"""Boxes and ellipses become masks; the pixels are counted by hand."""

import math

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mmvis_cl.datasets.converters.drawn_shapes import fill_box, fill_ellipse
from mmvis_cl.errors import InputError

SIZE = (20, 30)


def test_the_mask_of_a_box():
    mask = mask_utils.decode(fill_box([4, 2, 6, 3], SIZE, 'x'))
    assert mask.sum() == 18 and mask[2:5, 4:10].all()
    assert mask_utils.area(fill_box([-5, -5, 8, 7], SIZE, 'x')) == 3 * 2  # partly outside
    assert mask_utils.area(fill_box([4, 2, 0, 3], SIZE, 'x')) == 0


def test_turned_by_a_quarter():
    """Clockwise: around the centre the box stands; around its corner it hangs to the left of it."""
    centre = mask_utils.decode(fill_box([10, 8, 8, 2], SIZE, 'x', degrees=90))
    assert centre.sum() == 16 and centre[5:13, 13:15].all()
    corner = mask_utils.decode(fill_box([10, 8, 8, 2], SIZE, 'x', degrees=90, pivot=(10, 8)))
    assert corner.sum() == 16 and corner[8:16, 8:10].all()


def test_the_mask_of_an_ellipse():
    mask = fill_ellipse((15, 10), (8, 4), SIZE, 'x')
    assert mask_utils.area(mask) == pytest.approx(math.pi * 8 * 4, rel=0.05)
    x, y, width, height = mask_utils.toBbox(mask)
    assert np.allclose([x, y, width, height], [7, 6, 16, 8], atol=1)


@pytest.mark.parametrize(
    ('box', 'message'),
    [
        ([1, 2, 3], 'is no box'),
        ('abcd', 'is no box'),
        (5, 'is no box'),
        ([1, 2, 3, None], 'no finite number'),
        ([1, 2, -3, 4], 'is negative'),
        ([1, float('nan'), 3, 4], 'no finite number'),
        ([1, 2, 3, float('inf')], 'no finite number'),
        ([1, 2, 3, 2e9], 'pixels outside of the frame'),
        ([1e9, 2, 3, 4], 'pixels outside of the frame'),
    ],
)
def test_boxes_that_are_none(box, message):
    with pytest.raises(InputError, match=f'^there: .*{message}'):
        fill_box(box, SIZE, 'there')
