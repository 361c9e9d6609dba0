import pytest
import torch
from mmdet.structures.mask import BitmapMasks
from torch.nn import functional as F

from mmvis_cl.models import DynamicMaskHead
from mmvis_cl.models.dense_heads.dynamic_mask_head import aligned_bilinear


@pytest.fixture
def head():
    torch.manual_seed(0)
    return DynamicMaskHead(embed_dims=32, feat_channels=4)


def test_masks_equal_convolutions_one_query_at_a_time(head):
    features, states = torch.randn(4, 6, 5), torch.randn(3, 32)
    centers = torch.tensor([[7.0, 11.0], [0.0, 0.0], [39.0, 20.0]])
    logits = head(features, states, centers)
    assert logits.shape == (3, 12, 10)
    for i, params in enumerate(head.controller(states)):
        sizes = [6 * 8, 8 * 8, 8, 8, 8, 1]
        w1, w2, w3, b1, b2, b3 = params.split(sizes)
        x = (torch.arange(5) * 8 + 4).float().expand(6, 5)
        y = (torch.arange(6) * 8 + 4).float()[:, None].expand(6, 5)
        offset = torch.stack((centers[i, 0] - x, centers[i, 1] - y))
        hidden = torch.cat((offset, features))[None]
        hidden = F.conv2d(hidden, w1.view(8, 6, 1, 1), b1).relu()
        hidden = F.conv2d(hidden, w2.view(8, 8, 1, 1), b2).relu()
        expected = aligned_bilinear(F.conv2d(hidden, w3.view(1, 8, 1, 1), b3), 2)[0, 0]
        torch.testing.assert_close(logits[i], expected, rtol=1e-4, atol=1e-3)


def test_no_query(head):
    assert head(torch.randn(4, 6, 5), torch.zeros(0, 32), torch.zeros(0, 2)).shape == (0, 12, 10)


@pytest.mark.parametrize('factor', [1, 2, 4])
def test_aligned_bilinear_keeps_a_ramp_where_it_was(factor):
    """Pixel i of the input lies at i * factor + factor // 2 of the output, linear between."""
    ramp = torch.arange(6.0).expand(1, 1, 3, 6)
    up = aligned_bilinear(ramp, factor)
    assert up.shape == (1, 1, 3 * factor, 6 * factor)
    position = (torch.arange(6.0 * factor) - factor // 2) / factor
    torch.testing.assert_close(up[0, 0, 0], position.clamp(0, 5))


def test_targets_are_sampled_at_cell_centres_and_zero_in_the_padding(head):
    masks = torch.zeros(1, 10, 14, dtype=torch.uint8)
    masks[0, 2, 6] = masks[0, 6, 2] = masks[0, 0, 0] = 1
    targets = head.mask_targets(BitmapMasks(masks.numpy(), 10, 14), torch.zeros(2, 8, 8))
    assert targets.shape == (1, 8, 8)
    assert targets.nonzero().tolist() == [[0, 0, 1], [0, 1, 0]]
