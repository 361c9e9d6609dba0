"""From mask logits to masks of the original size to COCO RLE: the one place for all users."""

import numpy as np
import pycocotools.mask as mask_util
import torch
from torch import Tensor
from torch.nn import functional as F


def mask_logits_to_image(
    logits: Tensor,
    img_shape: tuple[int, int],
    out_shape: tuple[int, int],
    stride: int = 4,
    chunk_pixels: int = 1 << 24,
) -> Tensor:
    """Masks at the size of the image that the user gave.

    Bilinear to the padded input's size, cut the padding, nearest to the output size, threshold at a
    probability of 0.5.

    Args:
        logits (Tensor): (n, H / stride, W / stride) over the padded input.
        img_shape (tuple[int, int]): h, w of the network's input without padding.
        out_shape (tuple[int, int]): h, w wanted.
        stride (int): of the logits.
        chunk_pixels (int): most upsampled pixels held at once.

    Returns:
        Tensor: (n, *out_shape) bool.
    """
    n, h, w = logits.shape
    masks = logits.new_empty((n, *out_shape[:2]), dtype=torch.bool)
    step = max(1, chunk_pixels // (h * w * stride**2))
    for i in range(0, n, step):
        up = F.interpolate(
            logits[i : i + step, None].float(),
            size=(h * stride, w * stride),
            mode='bilinear',
            align_corners=False,
        )
        up = up[..., : img_shape[0], : img_shape[1]]
        up = F.interpolate(up, size=tuple(out_shape[:2]), mode='nearest')
        masks[i : i + step] = up[:, 0] > 0
    return masks


def encode_masks(masks: Tensor | np.ndarray) -> list[dict]:
    """COCO RLE of masks (n, h, w), with ``counts`` as str so that it can go into JSON."""
    masks = torch.as_tensor(masks).to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    rles = mask_util.encode(np.asfortranarray(masks))
    return [dict(size=list(r['size']), counts=r['counts'].decode()) for r in rles]
