import pytest
import torch
from mmdet.structures.mask import BitmapMasks
from release_fixtures import frame_sample
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from mmvis_cl.models import DynamicMaskHead, OTAMatch
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
    ramp = torch.arange(6.0) + 10 * torch.arange(3.0)[:, None]
    up = aligned_bilinear(ramp[None, None], factor)
    assert up.shape == (1, 1, 3 * factor, 6 * factor)
    x, y = (
        ((torch.arange(size * factor) - factor // 2) / factor).clamp(0, size - 1) for size in (6, 3)
    )
    torch.testing.assert_close(up[0, 0], x + 10 * y[:, None])


def test_targets_are_sampled_at_cell_centres_and_zero_in_the_padding(head):
    masks = torch.zeros(1, 10, 14, dtype=torch.uint8)
    masks[0, 2, 6] = masks[0, 6, 2] = masks[0, 0, 0] = 1
    targets = head.mask_targets(BitmapMasks(masks.numpy(), 10, 14), torch.zeros(2, 8, 8))
    assert targets.shape == (1, 8, 8)
    assert targets.nonzero().tolist() == [[0, 0, 1], [0, 1, 0]]
    assert torch.equal(head.mask_targets(torch.from_numpy(masks.numpy()), targets), targets)


def test_the_numbers_are_the_methods():
    """Eight features of stride 8, and 169 numbers a query; logits of stride 4."""
    head = DynamicMaskHead()
    assert [tuple(conv.weight.shape) for conv in head.fuse_convs] == [(256, 256, 3, 3)] * 3
    assert [tuple(conv.weight.shape) for conv in head.feat_convs] == [
        (64, 256, 3, 3),
        (8, 64, 3, 3),
    ]
    assert head.split_sizes == [80, 64, 8, 8, 8, 1]
    layers = head.controller[::2]
    assert [(x.in_features, x.out_features) for x in layers] == [(256, 256), (256, 256), (256, 169)]
    assert (head.feat_stride, head.out_stride) == (8, 4)


def test_convolutions_start_uniformly_within_the_bound_of_their_inputs():
    """He's initialisation for a slope of 1: up to the root of 3 over the number of inputs."""
    torch.manual_seed(0)
    for conv in DynamicMaskHead(embed_dims=64).fuse_convs:
        bound = (3 / (64 * 9)) ** 0.5
        assert conv.weight.abs().max().item() == pytest.approx(bound, rel=1e-3)
        assert not conv.bias.any()


def test_features_are_fused_from_coarse_to_fine(head):
    maps = [torch.randn(2, 32, 8, 12), torch.randn(2, 32, 4, 6), torch.randn(2, 32, 2, 3)]

    def convolved(conv, x):
        return F.conv2d(x, conv.weight, conv.bias, padding=1).relu()

    def doubled(x):
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)

    fused = convolved(head.fuse_convs[0], maps[2])
    fused = convolved(head.fuse_convs[1], maps[1] + doubled(fused))
    fused = convolved(head.fuse_convs[2], maps[0] + doubled(fused))
    expected = convolved(head.feat_convs[1], convolved(head.feat_convs[0], fused))
    torch.testing.assert_close(head.mask_features(maps), expected)


def test_masks_are_of_float32_precision_under_autocast(head):
    args = torch.randn(4, 6, 5), torch.randn(3, 32), 40 * torch.rand(3, 2)
    with torch.autocast('cpu', torch.bfloat16):
        found = head(*args)
    assert torch.equal(found, head(*args))


def test_losses_are_those_of_each_query_with_its_mask(head):
    """Focal (2, the mean over pixels) and dice (5) over the number of matched queries.

    The images are padded to 24 x 40 pixels; one says its number of channels, the other does not.
    """
    shapes, counts = [(24, 32, 3), (20, 40)], (2, 1)
    samples, masks = [], []
    for shape, n in zip(shapes, counts, strict=True):
        masks.append((torch.rand(n, *shape[:2]) < 0.5).to(torch.uint8))
        samples.append(frame_sample(shape, masks=BitmapMasks(masks[-1].numpy(), *shape[:2])))
    features, states = torch.randn(2, 4, 3, 5), torch.randn(2, 2, 6, 32)
    centers = torch.rand(2, 2, 6, 2)
    # (L, Q) of each image
    objects = [
        torch.tensor([[-1, 1, 0, -1, 1, -1], [0, -1, -1, 1, -1, -1]]),
        torch.tensor([[-1, -1, -1, 0, -1, -1], [0, -1, 0, -1, -1, -1]]),
    ]
    matches = [
        OTAMatch(of, torch.zeros((2, n), dtype=torch.long))
        for of, n in zip(objects, counts, strict=True)
    ]
    losses = head.loss(features, states, centers, matches, samples)
    assert set(losses) == {'d0.loss_mask', 'd0.loss_dice', 'loss_mask', 'loss_dice'}
    for layer, prefix in enumerate(('d0.', '')):
        focal, dice = [], []
        for i, shape in enumerate(shapes):
            for query, of in enumerate(objects[i][layer].tolist()):
                if of < 0:
                    continue
                center = centers[layer, i, query] * torch.tensor([shape[1], shape[0]])
                logits = head(features[i], states[layer, i, query][None], center[None])[0]
                target = torch.zeros(6, 10)
                sampled = masks[i][of, 2::4, 2::4]
                target[: sampled.shape[0], : sampled.shape[1]] = sampled
                prob = logits.sigmoid()
                focal.append(sigmoid_focal_loss(logits, target).mean())
                overlap = 2 * (prob * target).sum() + 1
                dice.append(1 - overlap / (prob.sum() + target.sum() + 1))
        expected = 2 * sum(focal) / len(focal), 5 * sum(dice) / len(dice)
        torch.testing.assert_close(losses[f'{prefix}loss_mask'], expected[0])
        torch.testing.assert_close(losses[f'{prefix}loss_dice'], expected[1])


def test_losses_can_be_replaced():
    head = DynamicMaskHead(
        embed_dims=32,
        loss_mask=dict(type='mmvis_cl.SigmoidFocalLoss', loss_weight=7.0),
        loss_dice=dict(type='mmdet.DiceLoss', loss_weight=9.0),
    )
    assert (head.loss_mask.loss_weight, head.loss_dice.loss_weight) == (7, 9)
