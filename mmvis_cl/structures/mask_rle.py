"""From mask logits to masks of the original size to COCO RLE: the one place for all users."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import torch
from torch import Tensor
from torch.nn import functional as F

from mmvis_cl.ops.mask_runs import changes_of_windows, encode_from_runs, rle_of_changes

from .mask_windows import positive_windows

# On a CPU and on a GPU. 13 ms for 30 masks of 480x854 on two cores of an AMD EPYC, where four times
# as many at once, which leave the cache, take 28 ms.
PIXELS_PER_STEP = (1 << 22, 1 << 24)


def mask_logits_to_image(
    logits: Tensor,
    img_shape: tuple[int, int],
    out_shape: tuple[int, int],
    stride: int = 4,
    chunk_pixels: int | None = None,
    flip: bool = False,
    smooth: bool = False,
) -> Tensor:
    """Masks at the size of the image that the user gave.

    Bilinear to the padded input's size, cut the padding, threshold at a probability of 0.5, nearest
    to the output size; the smooth ones bilinear to the output size, and then the threshold.

    Args:
        logits (Tensor): (n, H / stride, W / stride) over the padded input.
        img_shape (tuple[int, int]): h, w of the network's input without padding.
        out_shape (tuple[int, int]): h, w wanted.
        stride (int): of the logits.
        chunk_pixels (int, optional): most upsampled pixels held at once; if None, `PIXELS_PER_STEP`
            of the device.
        flip (bool): the network saw the image mirrored left to right; turn the masks back.
        smooth (bool): see above.

    Returns:
        Tensor: (n, *out_shape) bool.
    """
    masks = logits.new_empty((len(logits), *out_shape[:2]), dtype=torch.bool)
    for i, inside in _at_image_size(logits, img_shape, stride, chunk_pixels, flip):
        resized = _resized(inside if smooth else (inside > 0).byte(), out_shape, smooth)
        masks[i : i + len(inside)] = resized[:, 0] > 0
    return masks


def _at_image_size(
    logits: Tensor,
    img_shape: tuple[int, int],
    stride: int,
    chunk_pixels: int | None,
    flip: bool,
) -> Iterator[tuple[int, Tensor]]:
    """Some masks at a time: the place of the first, and their logits (m, 1, *img_shape)."""
    n, h, w = logits.shape
    chunk_pixels = chunk_pixels or PIXELS_PER_STEP[logits.is_cuda]
    step = max(1, chunk_pixels // (h * w * stride**2))
    for i in range(0, n, step):
        up = F.interpolate(
            logits[i : i + step, None].float(),
            size=(h * stride, w * stride),
            mode='bilinear',
            align_corners=False,
        )
        inside = up[..., : img_shape[0], : img_shape[1]]
        yield i, inside.flip(-1) if flip else inside


def _resized(masks: Tensor, out_shape: tuple[int, int], smooth: bool) -> Tensor:
    if masks.shape[-2:] == tuple(out_shape[:2]):
        return masks
    if smooth:
        return F.interpolate(masks, size=out_shape[:2], mode='bilinear', align_corners=False)
    return F.interpolate(masks, size=out_shape[:2], mode='nearest')


def encode_masks(masks: Tensor | np.ndarray) -> list[dict]:
    """COCO RLE of masks (n, h, w), with ``counts`` as str so that it can go into JSON."""
    masks = torch.as_tensor(masks)
    if masks.is_cuda:
        return encode_from_runs(masks)
    # (h, w, n) in Fortran's order, turned by PyTorch: 3 ms for 30 of 480x854, NumPy takes 8
    masks = masks.to(torch.uint8).transpose(1, 2).contiguous().numpy().transpose(2, 1, 0)
    rles = mask_util.encode(masks)
    return [dict(size=list(r['size']), counts=r['counts'].decode()) for r in rles]


def encode_logits(
    logits: Tensor,
    img_shape: tuple[int, int],
    out_shape: tuple[int, int],
    flip: bool = False,
    smooth: bool = False,
) -> list[dict]:
    """COCO RLE of masks of the original size, straight from logits of stride 4.

    The same as :func:`encode_masks` of :func:`mask_logits_to_image`, bit for bit (smooth ones but
    for pixels whose logit is 0 within rounding). On a CPU only that part of each mask is made that
    can be positive: 4 ms for 30 masks of 480x854 on one core, where those two take 60.

    Args:
        logits (Tensor): (n, H / 4, W / 4) over the padded input.
        img_shape (tuple[int, int]): h, w of the network's input without padding.
        out_shape (tuple[int, int]): h, w wanted.
        flip (bool): the network saw the image mirrored left to right; turn the masks back.
        smooth (bool): resize before the threshold, see :func:`mask_logits_to_image`.

    Returns:
        list[dict]: n masks, ``counts`` as str.
    """
    out_shape = out_shape[0], out_shape[1]
    if logits.is_cuda:
        masks = mask_logits_to_image(logits, img_shape, out_shape, flip=flip, smooth=smooth)
        return encode_from_runs(masks)
    if not len(logits):
        return []
    windows = positive_windows(logits.detach(), img_shape, out_shape, flip, smooth)
    return rle_of_changes(changes_of_windows(windows, out_shape), len(logits), out_shape)


def encode_with_quality(
    logits: Tensor,
    img_shape: tuple[int, int],
    out_shape: tuple[int, int],
    flip: bool = False,
    smooth: bool = False,
) -> tuple[list[dict], np.ndarray]:
    """:func:`encode_logits`, and how sure the network is of the masks' pixels.

    Args:
        logits (Tensor): see :func:`encode_logits`, as all arguments.
        img_shape (tuple[int, int]): see there.
        out_shape (tuple[int, int]): see there.
        flip (bool): see there.
        smooth (bool): see there.

    Returns:
        tuple[list[dict], ndarray]: n masks; (n, 2) float64, the sum of the probabilities of a
        mask's pixels at the original size, and how many these are.
    """
    out_shape = out_shape[0], out_shape[1]
    if logits.is_cuda:
        masks, sums = masks_and_quality(logits, img_shape, out_shape, flip, smooth)
        return encode_from_runs(masks), sums.cpu().numpy()
    quality = np.zeros((len(logits), 2))
    if not len(logits):
        return [], quality
    found = positive_windows(logits.detach(), img_shape, out_shape, flip, smooth, values=True)
    windows = []
    for i, (row, column, window) in enumerate(found):
        positive = window > 0
        pixels = window[positive]
        quality[i] = (1 / (1 + np.exp(-pixels))).sum(dtype=np.float64), len(pixels)
        windows.append((row, column, positive))
    return rle_of_changes(changes_of_windows(windows, out_shape), len(logits), out_shape), quality


def masks_and_quality(
    logits: Tensor,
    img_shape: tuple[int, int],
    out_shape: tuple[int, int],
    flip: bool = False,
    smooth: bool = False,
) -> tuple[Tensor, Tensor]:
    """:func:`mask_logits_to_image`, and how sure the network is of the masks' pixels.

    Returns:
        tuple[Tensor, Tensor]: (n, *out_shape) bool; (n, 2) float64, see
        :func:`encode_with_quality`.
    """
    masks = logits.new_empty((len(logits), *out_shape), dtype=torch.bool)
    quality = logits.new_zeros((len(logits), 2), dtype=torch.float64)
    for i, inside in _at_image_size(logits, img_shape, 4, None, flip):
        values = _resized(inside, out_shape, smooth)[:, 0]
        part = masks[i : i + len(values)] = values > 0
        quality[i : i + len(values), 0] = (values.sigmoid() * part).sum((1, 2))
        quality[i : i + len(values), 1] = part.sum((1, 2))
    return masks, quality


def vote_on_masks(
    frames: Sequence[Sequence[dict | None]], votes: Sequence[int]
) -> list[dict | None]:
    """In each frame the pixels that are in masks with at least half of all votes.

    The result is put together of intersections and unions of RLE, nothing is decoded: 4 of them a
    frame for three masks with similar votes, about 24 for six, 330 for ten.

    Args:
        frames (Sequence[Sequence[dict | None]]): in each frame n masks of one size as COCO RLE;
            None is an empty one.
        votes (Sequence[int]): of the n masks, > 0; whole numbers, so that a tie is a tie.

    Returns:
        list[dict | None]: of each frame the COCO RLE with ``counts`` as str, None if no pixel has
        enough votes.
    """
    order = sorted(range(len(votes)), key=lambda i: -votes[i])
    left = [sum(votes[i] for i in order[n:]) for n in range(len(votes) + 1)]
    everywhere = object()

    def pixels_with(needed: int, n: int, masks: Sequence, known: dict) -> Any:
        """Where the masks from the nth on have at least the votes that are needed."""
        if needed <= 0:
            return everywhere
        if left[n] < needed:
            return None
        if (needed, n) not in known:
            mask = masks[order[n]]
            rest = pixels_with(needed - votes[order[n]], n + 1, masks, known)
            if mask is None or rest is None:
                with_it = None
            else:
                with_it = mask if rest is everywhere else mask_util.merge([mask, rest], True)
            without = pixels_with(needed, n + 1, masks, known)
            if with_it is not None and without is not None:
                without = mask_util.merge([with_it, without])
            known[needed, n] = without or with_it
        return known[needed, n]

    voted = [pixels_with((left[0] + 1) // 2, 0, masks, {}) for masks in frames]
    voted = [
        dict(size=list(mask['size']), counts=mask['counts'].decode())
        if mask is not None and isinstance(mask['counts'], bytes)
        else mask
        for mask in voted
    ]
    # One by one: pycocotools counts the masks of a call in 8 bits.
    return [mask if mask is not None and mask_util.area(mask) else None for mask in voted]
