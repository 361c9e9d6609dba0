"""What a compressed RLE describes, read without decoding it into pixels.

A count is written in groups of 5 bits, lowest first, one in each character (from '0' on), whose
sixth bit says that more follow; the fifth bit of the last is the sign. From the fourth on, a count
is given as the difference to the last but one.
"""

from collections.abc import Sequence

import numpy as np

# Groups of a count. pycocotools shifts a C int by five bits for each, which more would overflow;
# these are enough for frames of fewer than 2**29 pixels.
_MOST_GROUPS = 6
# Masks that are read at once: enough that a call of numpy costs little, so few that what is between
# stays in the processor's cache.
AT_ONCE = 400


def pixels_covered(counts: str) -> int:
    """Number of pixels, of object and background together, that COCO's compressed RLE describes.

    For a whole mask this is height * width. pycocotools does not notice fewer: what it then returns
    for the rest is whatever the memory held. Decoding to find out would cost ten times as much.

    Args:
        counts: As in the files.

    Returns:
        The sum of all counts.

    Raises:
        ValueError: If this is no compressed RLE: another character, the end within a count, or a
            negative count.
    """
    groups = np.frombuffer(counts.encode(), np.uint8).astype(np.int64) - 48
    if len(groups) == 0 or groups.min() < 0 or groups.max() > 63:
        raise ValueError('characters that RLE does not have')
    ends = np.flatnonzero(groups < 32)
    if len(ends) == 0 or ends[-1] != len(groups) - 1:
        raise ValueError('it ends within a number')
    lengths = np.diff(ends, prepend=-1)
    if lengths.max() > _MOST_GROUPS:
        raise ValueError('a number that is too large')
    starts = ends - lengths + 1
    place = np.arange(len(groups)) - np.repeat(starts, lengths)
    numbers = np.add.reduceat((groups & 31) << (5 * place), starts)
    numbers -= ((groups[ends] & 16) << 1) << (5 * (lengths - 1))
    numbers[1::2] = numbers[1::2].cumsum()
    numbers[2::2] = numbers[2::2].cumsum()
    if numbers.min() < 0:
        raise ValueError('a negative number of pixels')
    return int(numbers.sum())


def first_broken(masks: Sequence[str], pixels: int) -> int | None:
    """Which of some masks is no RLE of all pixels of its frame.

    Whole masks are read together, in 2.5 us each, where :func:`pixels_covered` needs 20.

    Args:
        masks: ``counts`` of compressed RLE.
        pixels: Of a frame, at most ``limits.MAX_FRAME_PIXELS``.

    Returns:
        The place of the first broken one, None if all are whole.
    """
    for start in range(0, len(masks), AT_ONCE):
        some = masks[start : start + AT_ONCE]
        if not _all_whole(some, pixels):
            for place, counts in enumerate(some, start):
                try:
                    if pixels_covered(counts) != pixels:
                        return place
                except ValueError:
                    return place
    return None


def _all_whole(masks: Sequence[str], pixels: int) -> bool:
    try:
        counts, sizes, _ = read_counts(masks, _MOST_GROUPS)
    except (ValueError, IndexError):
        return False
    if counts.min() < 0:
        return False
    starts = sizes.cumsum() - sizes
    return bool((np.add.reduceat(counts, starts, dtype=np.int64) == pixels).all())


def read_counts(
    masks: Sequence[str], most_groups: int = 7
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read compressed RLE.

    Zeros are put behind each mask's counts so that there is an even number and at least two: of
    each other mask the counts of background and object then have their fixed places, and two sums
    over all masks undo the differences.

    Args:
        masks: ``counts`` of at least one mask.
        most_groups: Of 5 bits, that a count is written in.

    Returns:
        The counts of all masks and zeros in a row; how many of each mask, with zeros; and without.

    Raises:
        TypeError: A mask is not str.
        ValueError: This is no RLE.
        IndexError: This is no RLE.
    """
    zeros = np.full(len(masks), 3)
    groups = _groups('000'.join(masks) + '000')
    ends = np.fromiter(map(len, masks), int, len(masks)).cumsum() + zeros.cumsum()
    if (groups[ends - 4] >= 32).any():  # a mask ends within a number
        raise ValueError
    more = np.flatnonzero(groups >= 32)
    sizes = np.diff(ends - np.searchsorted(more, ends), prepend=0)
    if (sizes % 2).any():
        zeros -= sizes % 2
        sizes -= sizes % 2
        padded = zip(masks, zeros.tolist(), strict=True)
        groups = _groups(''.join([counts + '000'[:n] for counts, n in padded]))
        more = np.flatnonzero(groups >= 32)
    lengths = sizes - zeros
    if groups.max() > 63 or lengths.min() < 1:
        raise ValueError

    # The last group of each count, with its sign, then what the few counts of several groups add.
    counts = ((groups ^ 16).view(np.int8) - np.int8(16))[groups < 32].astype(np.int32)
    if len(more):
        number = more - np.arange(len(more))
        first = np.flatnonzero(np.diff(number, prepend=-1))
        several = np.diff(first, append=len(more))
        if several.max() >= most_groups:
            raise ValueError
        place = np.arange(len(more)) - np.repeat(first, several)
        low = np.add.reduceat((groups[more] & 31).astype(np.int64) << 5 * place, first)
        number = number[first]
        counts[number] = (counts[number].astype(np.int64) << 5 * several) + low

    # Each sum returns to 0 at the mask's first zero, and the second count of background (in COCO
    # the only one that could be a difference and is not) begins anew.
    background, thing = counts[::2], counts[1::2]
    starts = (sizes.cumsum() - sizes) // 2
    background[starts + 1] -= background[starts]
    background[starts + (lengths + 1) // 2] -= np.add.reduceat(background, starts, dtype=np.int32)
    thing[starts + lengths // 2] -= np.add.reduceat(thing, starts, dtype=np.int32)
    # Both sums at once, in the halves of 64 bits: 0.4 us a mask, one after the other 1.0.
    sums = thing.astype(np.int64)
    sums <<= 32
    sums += background
    sums.cumsum(out=sums)
    return sums.astype('<i8', copy=False).view('<i4'), sizes, lengths


def _groups(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8) - np.uint8(48)
