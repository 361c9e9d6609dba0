"""Frames for exported networks, and what is compared."""

import numpy as np
import torch
from mmdet.structures import DetDataSample

# Padded and without padding.
SIZES = [((64, 96), (64, 96)), ((128, 160), (117, 149)), ((96, 224), (80, 199))]


def padded_noise(batch, padded, size):
    """Frames (batch, 3, H, W) of noise."""
    frames = torch.randn(batch, 3, *padded, generator=torch.Generator().manual_seed(batch))
    frames[..., size[0] :, :], frames[..., size[1] :] = 0, 0
    return frames


def sample_of(size):
    """The data sample of a frame."""
    return DetDataSample(metainfo=dict(img_shape=size, ori_shape=size))


def assert_outputs_equal(found, expected):
    """Within 1e-4 of the largest value of each."""
    for one, other in zip(found, expected, strict=True):
        scale = float(abs(other).max())
        assert scale > 0
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-4 * scale)
