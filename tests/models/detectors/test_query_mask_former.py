from pathlib import Path

import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks, mask2bbox
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from mmvis_cl.models.detectors.query_mask_former import mask_boxes
from mmvis_cl.registry import MODELS

CONFIG = (
    Path(__file__).parents[3] / 'projects' / 'mask2former_contrastive' / 'small_moving-shapes.py'
)
H, W = 64, 96


@pytest.fixture(scope='module')
def network():
    cfg = Config.fromfile(CONFIG).model.detector
    cfg.panoptic_head.num_queries = 8
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        network = MODELS.build(cfg)
    network.init_weights()
    return network.eval()


def sample(num_objects, img_shape=(H, W)):
    masks = torch.zeros(num_objects, H, W, dtype=torch.uint8)
    for i, mask in enumerate(masks):
        mask[8 + 8 * i : 24 + 8 * i, 20 * i : 20 * i + 16] = 1
    result = DetDataSample(metainfo=dict(img_shape=img_shape, batch_input_shape=(H, W)))
    result.gt_instances = InstanceData(
        labels=torch.arange(num_objects) % 3,
        bboxes=mask2bbox(masks.bool()),
        masks=BitmapMasks(masks.numpy(), H, W),
    )
    return result


def test_losses_are_mmdets(network):
    torch.manual_seed(1)
    images, samples = torch.randn(2, 3, H, W), [sample(3), sample(1)]
    torch.manual_seed(2)  # both draw points at random
    states = network.query_states(images, samples)
    losses, matches = network.loss_of_states(states, samples)
    torch.manual_seed(2)
    theirs = network.loss(images, samples)
    assert set(losses) == set(theirs)
    for name, value in theirs.items():
        torch.testing.assert_close(losses[name], value)
    for match, s in zip(matches, samples, strict=True):
        n = len(s.gt_instances)
        (best,) = match.best_query
        # one query an object, and it is the one that learns it
        assert best.unique().numel() == n
        assert match.objects[0, best].tolist() == list(range(n))
        assert (match.objects >= 0).sum() == n


def test_states_are_what_mmdets_head_goes_on_from(network):
    torch.manual_seed(1)
    images, samples = torch.randn(2, 3, H, W), [sample(1), sample(1, (48, 70))]
    states = network.query_states(images, samples)
    head = network.panoptic_head
    cls_scores, masks = head(network.extract_feat(images), samples)
    torch.testing.assert_close(head.cls_embed(states.states[-1]), cls_scores[-1])
    torch.testing.assert_close(
        states.logits[-1].sigmoid(), cls_scores[-1].softmax(-1)[..., :-1], atol=1e-5, rtol=1e-4
    )
    picked = states.images([1])
    index, prob = network.select_queries(picked.logits[-1, 0], picked.boxes[-1, 0])
    kept = picked.logits[-1, 0].sigmoid().max(1).values > network.test_cfg['score_thr']
    assert len(index) == max(1, kept.sum())
    assert (prob.max(1).values.diff() <= 0).all()
    drawn = network.mask_logits(picked, 0, index, (48, 70))
    torch.testing.assert_close(drawn, masks[-1][1, index])
    raw = network.raw_outputs(states, samples)
    assert raw['pred_masks'].shape == (2, 8, H // 4, W // 4)


def test_an_image_without_objects(network):
    samples = [sample(0)]
    losses, (match,) = network.loss_of_states(
        network.query_states(torch.randn(1, 3, H, W), samples), samples
    )
    assert match.best_query.shape == (1, 0) and (match.objects == -1).all()
    assert all(torch.isfinite(value) for value in losses.values())
    assert losses['loss_dice'].requires_grad


def test_boxes_around_masks():
    torch.manual_seed(0)
    masks = torch.rand(5, 16, 24) - 0.98
    masks[0] = -1
    masks[1] = -1
    masks[1, 3:5, 20:24] = 1  # in pixels 80..96 and 12..20; the image ends at 90
    boxes = mask_boxes(masks, (64, 90))
    assert boxes[0].tolist() == [0, 0, 0, 0]
    assert (boxes[1] * torch.tensor([90, 64, 90, 64])).tolist() == pytest.approx([85, 16, 10, 8])
    full = mask2bbox(masks[2:, :, :23] > 0) * 4  # column 23 is in the padding
    full = full.clamp(max=torch.tensor([90.0, 64, 90, 64]))
    x, y, w, h = (mask_boxes(masks[2:], (64, 90)) * torch.tensor([90, 64, 90, 64])).unbind(1)
    found = torch.stack((x - w / 2, y - h / 2, x + w / 2, y + h / 2), 1)
    torch.testing.assert_close(found, full, atol=1e-4, rtol=0)


def test_a_padded_part_of_a_mask_does_not_count():
    masks = torch.full((1, 16, 24), -1.0)
    masks[0, 2:4, 2:20] = 1
    # of 40 pixels' width the mask covers 8 to 40; the rest of it is in the padding
    box = mask_boxes(masks, (64, 40))[0] * torch.tensor([40, 64, 40, 64])
    assert box.tolist() == pytest.approx([24, 12, 32, 8])
