"""The masks of a frame's detections, from logits to the RLE of those that are kept."""

import numpy as np
from torch import Tensor

from mmvis_cl.ops.mask_runs import BOUNDED_ON_GPU, changes_within, rle_of_changes

from .mask_rle import encode_logits, encode_with_quality, mask_logits_to_image, masks_and_quality

# Of all detections at the original size: a byte each, twice for a moment.
MOST_PIXELS_AHEAD = 1 << 27
# Changes of a mask for each column of the image that the copy has room for: an outline has two.
CHANGES_PER_COLUMN = 4


class FrameMasks:
    """The masks of one frame's detections until RLE of some are wanted.

    On a GPU the places where masks change are found for all detections, before it is known which
    are kept, and come to the CPU in one copy with what that is decided on. Where that is too much,
    and on a CPU, the masks are drawn when they are known to be kept. The RLE are the same.

    Args:
        logits: (n, H / 4, W / 4) over the padded input.
        img_shape: h, w of the network's input without padding.
        out_shape: h, w wanted.
        flip: See :func:`encode_logits`.
        smooth: See there.
        quality: Give the masks' quality as well, see :func:`encode_with_quality`.
        ahead: Draw all detections before it is known which are kept; if None, on a GPU.
    """

    def __init__(
        self,
        logits: Tensor,
        img_shape: tuple[int, int],
        out_shape: tuple[int, int],
        flip: bool = False,
        smooth: bool = False,
        quality: bool = False,
        ahead: bool | None = None,
    ) -> None:
        self.logits = logits
        self.quality = quality
        self._img_shape = img_shape
        self._out_shape = out_shape[0], out_shape[1]
        self._flip, self._smooth = flip, smooth
        if ahead is None:
            ahead = logits.is_cuda and BOUNDED_ON_GPU
        pixels = len(logits) * self._out_shape[0] * self._out_shape[1]
        self._ahead = ahead and 0 < pixels <= MOST_PIXELS_AHEAD

    def drawn(self) -> tuple[Tensor, ...]:
        """What must come to the CPU for :meth:`encode`, still on the device; nothing on a CPU.

        Returns:
            Where the masks change, how often they do, and their quality if that is wanted.
        """
        if not self._ahead:
            return ()
        n, width = len(self.logits), self._out_shape[1]
        how = self._img_shape, self._out_shape
        quality: tuple[Tensor, ...] = ()
        if self.quality:
            masks, of_masks = masks_and_quality(self.logits, *how, self._flip, self._smooth)
            quality = (of_masks,)
        else:
            masks = mask_logits_to_image(self.logits, *how, flip=self._flip, smooth=self._smooth)
        return *changes_within(masks, n * (CHANGES_PER_COLUMN * width + 1)), *quality

    def encode(self, chosen: Tensor, arrived: list[Tensor]) -> tuple[list[dict], np.ndarray | None]:
        """RLE of some of the masks.

        Args:
            chosen: (m,) int64, which masks.
            arrived: Those of :meth:`drawn` on the CPU.

        Returns:
            m masks, ``counts`` as str; and (m, 2) their quality, or None.
        """
        if arrived:
            places, number, *quality = arrived
            if int(number) <= len(places):
                pixels = self._out_shape[0] * self._out_shape[1] + 1
                found = places[: int(number)].numpy().astype(np.int64)
                first = np.searchsorted(found, np.arange(len(self.logits) + 1) * pixels)
                of_chosen = [
                    found[first[i] : first[i + 1]] + (new - i) * pixels
                    for new, i in enumerate(chosen.tolist())
                ]
                together = np.concatenate(of_chosen) if of_chosen else found[:0]
                return (
                    rle_of_changes(together, len(of_chosen), self._out_shape),
                    quality[0][chosen].numpy() if quality else None,
                )
        # noise for a mask changes more often than there was room for
        logits = self.logits[chosen.to(self.logits.device)]
        how = self._img_shape, self._out_shape
        if self.quality:
            return encode_with_quality(logits, *how, self._flip, self._smooth)
        return encode_logits(logits, *how, self._flip, self._smooth), None
