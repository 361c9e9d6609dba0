"""Broken masks, and a guard that lets none of them get to pycocotools."""

import faulthandler
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
from pycocotools import mask as mask_utils

from mmvis_cl.ops.rle_counts import pixels_covered


def broken_counts(height: int, width: int) -> dict[str, str]:
    """Texts that are no compressed RLE of a frame, by what is wrong with them."""
    nothing = np.zeros((height, width), np.uint8, order='F')
    whole = mask_utils.encode(nothing)['counts'].decode()
    nothing[2:6, 3:9] = 1
    mask = mask_utils.encode(nothing)['counts'].decode()
    return {
        'no character': '',
        'cut': mask[:-1],
        'cut within a number': f'{mask}P',
        'a huge number': 'o' * 16 + '0',
        'more than 32 bits': 'PPPPPPP1',
        'right in 32 bits': 'PPPPP4' * 8 + whole,
        'too many pixels': f'{whole}1',
        'far too many pixels': 'PPPPP1',
        'too few pixels': '5',
        'a negative number': f'L{whole}4',  # -4, all, 4
        'a negative difference': f'{whole}11N000',  # all, 1, 1, 1 - 2
        'a null character': f'\0{mask}',
        'a null character at the end': f'{mask}\0',
        'beyond ASCII': f'é{mask}',
        'half a character': '\ud800',
        'other characters': f'{mask} ',
    }


@contextmanager
def only_whole_masks_reach_pycocotools() -> Iterator[list[int]]:
    """It checks nothing: of a broken mask it reads memory that nobody wrote, or never ends.

    Yields:
        Grows by the number of masks of each call.
    """
    seen = []

    def guarded(function):
        def call(*args):
            given = [rle for rles in args for rle in (rles if isinstance(rles, list) else [rles])]
            masks = [rle for rle in given if isinstance(rle, dict)]
            for rle in masks:
                (height, width), counts = rle['size'], rle['counts']
                text = counts if isinstance(counts, str) else counts.decode()
                assert pixels_covered(text) == height * width, (function, rle)
            seen.append(len(masks))
            return function(*args)

        return call

    names = ('area', 'decode', 'iou', 'merge', 'toBbox')
    patches = {name: guarded(getattr(mask_utils, name)) for name in names}
    faulthandler.dump_traceback_later(120, exit=True)  # no Python can end a hang in C
    try:
        with patch.multiple(mask_utils, **patches):
            yield seen
    finally:
        faulthandler.cancel_dump_traceback_later()
