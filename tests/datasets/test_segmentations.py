"""The door for masks: what is right comes in whatever its kind, what is broken gets one line."""

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mmvis_cl.datasets.segmentations import masks_of_track, to_rle
from mmvis_cl.errors import InputError
from mmvis_cl.ops.rle_counts import first_broken, pixels_covered

HEIGHT, WIDTH = 60, 80
SQUARE = np.zeros((HEIGHT, WIDTH), np.uint8)
SQUARE[10:40, 20:50] = 1
COUNTS = mask_utils.encode(np.asfortranarray(SQUARE))['counts'].decode()
SIZE = [HEIGHT, WIDTH]


def uncompressed(mask):
    flat = mask.flatten(order='F')
    return np.diff([0, *(np.flatnonzero(np.diff(flat)) + 1), flat.size]).tolist()


@pytest.mark.parametrize(
    'segmentation',
    [
        dict(size=SIZE, counts=COUNTS),
        dict(size=SIZE, counts=COUNTS.encode()),
        dict(size=tuple(SIZE), counts=COUNTS),
        dict(size=SIZE, counts=uncompressed(SQUARE)),
        [[20, 10, 50, 10, 50, 40, 20, 40]],
        [20, 10, 50, 10, 50, 40, 20, 40],
        [[20, 10, 35, 10, 35, 40, 20, 40], [35.0, 10, 50, 10, 50, 40, 35, 40]],
    ],
)
def test_every_kind_of_segmentation_gives_the_mask(segmentation):
    rle = to_rle(segmentation, HEIGHT, WIDTH, 'x')
    assert np.array_equal(mask_utils.decode(rle), SQUARE)
    assert rle['size'] == SIZE and isinstance(rle['counts'], str)
    none, mask, empty = masks_of_track([None, segmentation, []], HEIGHT, WIDTH, 'x')
    assert none is None and empty is None and mask == rle


BROKEN = {
    'NaN': ([[10, 10, float('nan'), 30, 60, 60]], 'no finite number'),
    'infinite': ([[10, 10, 30, float('inf'), 60, 60]], 'no finite number'),
    'far to the right': ([[10, 10, 2e8, 30, 60, 60]], 'lies 2e.08 pixels outside of the frame'),
    'far to the left': ([[10, 10, -1e9, 30, 60, 60]], 'lies 1e.09 pixels outside of the frame'),
    'far in a flat one': ([10, 10, 60, 60, 10, 3e8], 'lies 3e.08 pixels outside of the frame'),
    'a whole number without end': ([[10, 10, 10**30, 30, 60, 60]], 'not made of numbers'),
    'far in the second': ([[1, 1, 5, 1, 5, 5], [1, 1, 5, 1, 5, 5e8]], 'lies 5e.08 pixels'),
    'zigzag': ([[-700, 0, 700, 60] * 2000], 'the outlines of the polygons are .* pixels long'),
    'two points': ([[1, 1, 5, 5]], 'at least three points'),
    'an odd number': ([[1, 1, 5, 5, 6, 6, 7]], 'at least three points'),
    'an empty polygon': ([[]], 'at least three points'),
    'texts': ([['1', '2', '3', '4', '5', '6']], 'not made of numbers'),
    'nulls': ([[1, 2, None, 4, 5, 6]], 'not made of numbers'),
    'list of points': ([[[1, 1], [5, 1], [5, 5]]], 'not made of numbers'),
    'ragged': ([[1, [2], 3, 4, 5, 6]], 'not made of numbers'),
    'dicts': ([dict(x=1, y=2)], 'is no polygon'),
    'null as polygon': ([None], 'is no polygon'),
    'a text': ('abc', "'abc' is no mask"),
    'a number': (5, '5 is no mask'),
    'false': (False, 'False is no mask'),
    'no counts': (dict(size=SIZE), "lacks 'counts'"),
    'no size': (dict(counts=COUNTS), "lacks 'size'"),
    'empty dict': ({}, "lacks 'size'"),
    'size as a text': (dict(size='[60, 80]', counts=COUNTS), r"size '\[60, 80\]', the video"),
    'sides as texts': (dict(size=['60', '80'], counts=COUNTS), r"size \['60', '80'\], the video"),
    'size as a number': (dict(size=60, counts=COUNTS), r'size 60, the video is \[60, 80\]'),
    'three sides': (dict(size=[60, 80, 3], counts=COUNTS), r'of size \[60, 80, 3\]'),
    'swapped': (dict(size=[80, 60], counts=COUNTS), r'of size \[80, 60\]'),
    'negative size': (dict(size=[-60, -80], counts=COUNTS), r'of size \[-60, -80\]'),
    'cut': (dict(size=SIZE, counts=COUNTS[:-1]), 'covers|broken'),
    'cut in a number': (dict(size=SIZE, counts=COUNTS + 'P'), 'ends within a number'),
    'no character': (dict(size=SIZE, counts=''), 'broken'),
    'other characters': (dict(size=SIZE, counts='not RLE'), 'characters'),
    'beyond ASCII': (dict(size=SIZE, counts='é' + COUNTS), 'characters'),
    'half a character': (dict(size=SIZE, counts='\ud800'), 'broken'),
    'too large a number': (dict(size=SIZE, counts='PPPPPPP1'), 'too large'),
    'null': (dict(size=SIZE, counts=None), 'counts are None'),
    'no number': (dict(size=SIZE, counts=[]), r'counts are \[\]'),
    'numbers as texts': (dict(size=SIZE, counts=['4800']), 'broken'),
    'fractions': (dict(size=SIZE, counts=[4799.5, 0.5]), 'broken'),
    'negative': (dict(size=SIZE, counts=[-10, 4810]), 'broken'),
    'nested': (dict(size=SIZE, counts=[[4800]]), 'broken'),
    'too few': (dict(size=SIZE, counts=[10, 20]), 'covers 30 pixels, the video has 4800'),
    'sum in 32 bits': (dict(size=SIZE, counts=[2**32, 4800]), 'covers 4294967296 pixels'),
    'sum in 64 bits': (dict(size=SIZE, counts=[2**63 - 1, 2**63 - 1, 4802]), 'broken|covers'),
}


@pytest.mark.parametrize('segmentation, message', BROKEN.values(), ids=BROKEN)
def test_what_is_broken_gets_one_line_before_pycocotools_sees_it(segmentation, message):
    for read in (to_rle, lambda s, *args: masks_of_track([None, s], *args)):
        with pytest.raises(InputError, match=message) as error:
            read(segmentation, HEIGHT, WIDTH, 'train.json: annotation 7')
        text = str(error.value)
        assert text.startswith('train.json: annotation 7') and '; ' in text
        assert '\n' not in text and len(text) < 300
    assert text.startswith('train.json: annotation 7, frame 1: ')


def test_broken_masks_are_found_among_many():
    """Of random damage the fast check finds what the one for a single mask finds."""
    rng = np.random.default_rng(0)
    masks = []
    for _ in range(3000):
        counts = list(COUNTS)
        for _ in range(rng.integers(0, 3)):
            place = rng.integers(len(counts))
            damage = rng.integers(4)
            if damage == 0:
                counts[place] = chr(rng.integers(40, 120))
            elif damage == 1:
                del counts[place]
            elif damage == 2:
                counts.insert(place, chr(rng.integers(48, 112)))
            else:
                counts = counts[:place] or ['P']
        masks.append(''.join(counts))

    def whole(counts):
        try:
            return pixels_covered(counts) == HEIGHT * WIDTH
        except ValueError:
            return False

    expected = [whole(counts) for counts in masks]
    assert 300 < sum(expected) < 2900
    assert [first_broken([counts], HEIGHT * WIDTH) is None for counts in masks] == expected
    left, found = masks, []
    while (place := first_broken(left, HEIGHT * WIDTH)) is not None and len(found) < 50:
        found.append(len(masks) - len(left) + place)
        left = left[place + 1 :]
    assert found == [place for place, right in enumerate(expected) if not right][:50]
