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
