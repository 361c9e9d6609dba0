"""Overlap of masks, and which are dropped."""

import torch

from mmvis_cl.models.layers.mask_nms import mask_iou, mask_nms


def test_mask_iou_and_nms():
    masks = torch.zeros(4, 4, 4, dtype=torch.bool)
    masks[0, :2] = masks[1, :3] = masks[2, 2:] = True  # the last is empty
    iou = mask_iou(masks)
    torch.testing.assert_close(iou[0, 1], torch.tensor(8 / 12), atol=1e-6, rtol=0)
    torch.testing.assert_close(iou[1, 2], torch.tensor(4 / 16), atol=1e-6, rtol=0)
    assert mask_nms(iou, 0.5).tolist() == [True, False, True, True]
    assert mask_nms(iou, 0.7).tolist() == [True, True, True, True]
    # 1e-6 on both sides: two masks without a pixel are the same, and like no other
    torch.testing.assert_close(iou[3], torch.tensor([0.0, 0, 0, 1]), atol=1e-6, rtol=0)


def test_pixels_are_counted_exactly_at_any_precision():
    """Of such numbers bfloat16 knows every 256th, half precision none."""
    masks = torch.zeros(2, 300, 300, dtype=torch.bool)
    masks[0].view(-1)[:66001] = masks[1].view(-1)[1000:] = True
    expected = torch.tensor([[1, 65001 / 90000], [65001 / 90000, 1]])
    torch.testing.assert_close(mask_iou(masks), expected, atol=1e-7, rtol=0)
    with torch.autocast('cpu', torch.bfloat16):
        torch.testing.assert_close(mask_iou(masks), expected, atol=1e-7, rtol=0)


def test_an_overlap_of_exactly_the_threshold_is_kept():
    iou = torch.tensor([[1.0, 0.5, 0.1], [0.5, 1, 0.6], [0.1, 0.6, 1]])
    assert mask_nms(iou, 0.5).tolist() == [True, True, False]
    assert mask_nms(iou, 0.25).tolist() == [True, False, False]  # what is dropped still suppresses


def test_greedy_is_one_after_the_other():
    torch.manual_seed(0)
    for _ in range(50):
        iou = torch.rand(7, 7)
        iou = (iou + iou.T) / 2
        kept = []
        for i in range(7):
            if all(iou[i, j] <= 0.6 for j in kept):
                kept.append(i)
        assert mask_nms(iou, 0.6, greedy=True).nonzero()[:, 0].tolist() == kept
    # 1 is dropped for 0, and 2, which only overlaps 1, for it, unless dropped masks drop no other
    chain = torch.tensor([[1, 0.9, 0], [0.9, 1, 0.9], [0, 0.9, 1]])
    assert mask_nms(chain, 0.5).tolist() == [True, False, False]
    assert mask_nms(chain, 0.5, greedy=True).tolist() == [True, False, True]
