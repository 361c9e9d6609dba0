import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mmvis_cl.ops.rle_counts import first_broken, pixels_covered, read_counts


def counts_of(mask):
    return mask_utils.encode(np.asfortranarray(mask, np.uint8))['counts'].decode()


def test_whole_masks_cover_their_image():
    rng = np.random.default_rng(0)
    for height, width in ((1, 1), (3, 5), (96, 160), (720, 1280)):
        for density in (0, 0.001, 0.3, 1):
            mask = rng.random((height, width)) < density
            assert pixels_covered(counts_of(mask)) == height * width
    stripes = np.zeros((720, 1280))
    stripes[:, 300:700] = 1  # two counts of six digits
    assert pixels_covered(counts_of(stripes)) == 720 * 1280


def test_counts_written_by_hand():
    # 5 of the background, 3 of the object, 7 of the background, and 4: a step of 1 from the 3.
    assert pixels_covered('5371') == 5 + 3 + 7 + 4
    assert pixels_covered('5371O') == 5 + 3 + 7 + 4 + 6  # 'O' is -1: a step from 7 to 6
    # 'P1' is 32: its five low bits are 0, and more follow; then 1.
    assert pixels_covered('P1') == 32


def test_counts_of_many_masks_are_the_lengths_of_their_runs():
    """Odd and even numbers of them, of one to five groups, the first count 0 or not."""
    rng = np.random.default_rng(0)
    runs = [rng.integers(1, 1 << rng.integers(1, 20), n) for n in rng.integers(1, 12, 200)]
    runs.insert(0, np.array([0, 100]))  # the second of all is the first of several groups
    for mask in runs[::3]:
        mask[0] = 0
    texts = [
        mask_utils.frPyObjects(dict(size=[1, mask.sum()], counts=mask.tolist()), 1, mask.sum())
        for mask in runs
    ]
    counts, sizes, lengths = read_counts([rle['counts'].decode() for rle in texts])
    assert lengths.tolist() == [len(mask) for mask in runs]
    assert (sizes % 2 == 0).all() and len(counts) == sizes.sum()
    for read, mask in zip(np.split(counts, sizes.cumsum()[:-1]), runs, strict=True):
        assert read[: len(mask)].tolist() == mask.tolist()
        assert len(read) >= 2 and not read[len(mask) :].any()


def test_a_number_may_have_six_groups():
    """32 pixels are 'P1', or with groups of nothing behind, which a wrong writer may make."""
    assert first_broken(['P1', 'PQPPP0'], 32) is None
    for broken, pixels in (('PQPPPP0', 32), ('PQPPPP0P1', 64)):
        with pytest.raises(ValueError):
            pixels_covered(broken)
        assert first_broken([broken], pixels) == 0


@pytest.mark.parametrize(
    'counts, message',
    [
        ('', 'characters'),
        ('53!1', 'characters'),
        ('53é1', 'characters'),
        ('53P', 'ends within'),
        ('PPPPPPPP1', 'too large'),
        ('53O', 'negative'),
    ],
)
def test_what_is_no_rle(counts, message):
    with pytest.raises(ValueError, match=message):
        pixels_covered(counts)


def test_every_lost_character_is_noticed_where_pycocotools_may_not():
    mask = np.zeros((60, 80))
    mask[10:40, 20:50] = 1
    counts = counts_of(mask)
    for end in range(1, len(counts)):
        try:
            assert pixels_covered(counts[:end]) != 60 * 80
        except ValueError as error:
            assert 'ends within' in str(error)
    # pycocotools decodes this one, to a mask most of whose pixels nobody has set.
    short = counts_of(np.ones((8, 8)))
    assert pixels_covered(short) == 64
    assert mask_utils.decode(dict(size=[60, 80], counts=short)).shape == (60, 80)
