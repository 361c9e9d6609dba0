"""The image network on its own: what it predicts for single images, and how it is initialised."""

import pytest
import torch
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmengine.config import Config
from mmengine.registry import DefaultScope
from release_fixtures import ROOT, frame_sample
from torchvision.ops import box_iou

from mmvis_cl.registry import MODELS
from mmvis_cl.structures import mask_logits_to_image


def config(**test_cfg):
    cfg = Config.fromfile(ROOT.parent / 'configs' / 'vis_cl' / 'small_moving-shapes.py')
    cfg = cfg.model.detector
    cfg.test_cfg = dict(nms_iou_thr=0.7, **test_cfg)
    return cfg


def build(cfg, seed=0):
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        network = MODELS.build(cfg)
    network.init_weights()
    return network.eval()


def spread(network):
    """Make scores and boxes differ between queries, and some of them see the same object."""
    queries = network.query_embedding.weight.data
    queries[20:] = queries[:20] + 1e-3
    for branch in network.bbox_head.cls_branches:
        torch.nn.init.normal_(branch.weight, std=0.3)
    for branch in network.bbox_head.reg_branches:
        torch.nn.init.normal_(branch[-1].weight, std=0.05)


def test_the_last_layer_alone_is_the_last_of_all():
    network = build(config())
    spread(network)
    images, samples = torch.randn(2, 3, 64, 96), [frame_sample((64, 96)), frame_sample((50, 70))]
    with torch.no_grad():
        every = network.query_states(images, samples)
        last = network.query_states(images, samples, last_layer=True)
    assert len(every.logits) > len(last.logits) == len(last.boxes) == 1
    assert torch.equal(last.logits[-1], every.logits[-1])
    assert torch.equal(last.boxes[-1], every.boxes[-1])
    assert torch.equal(last.states, every.states) and torch.equal(last.centers, every.centers)


@pytest.mark.parametrize('max_per_img', [7, 1000])
def test_the_best_pairs_of_query_and_class_are_given(max_per_img):
    network = build(config(max_per_img=max_per_img))
    spread(network)
    images = torch.randn(2, 3, 64, 96)
    shapes = [(64, 96), (50, 70)]
    samples = [frame_sample(shape) for shape in shapes]
    samples[1].set_metainfo(dict(ori_shape=(25, 35)))
    with torch.no_grad():
        states = network.query_states(images, samples)
        predicted = network.predict(images, samples)
        masks = network.raw_outputs(states, samples)['pred_masks']
    suppressed = 0
    for i, sample in enumerate(predicted):
        # by hand: box NMS per class, one query after the other, then all pairs in order
        prob = states.logits[-1, i].sigmoid()
        boxes = bbox_cxcywh_to_xyxy(states.boxes[-1, i])
        kept = []
        for q in prob.max(1).values.argsort(descending=True).tolist():
            rivals = [k for k in kept if prob[k].argmax() == prob[q].argmax()]
            if not rivals or (box_iou(boxes[rivals], boxes[q][None]) <= 0.7).all():
                kept.append(q)
        suppressed += len(prob) - len(kept)
        pairs = sorted(((float(prob[q, c]), q, c) for q in kept for c in range(3)), reverse=True)
        pairs = pairs[:max_per_img]

        found = sample.pred_instances
        h, w = sample.ori_shape
        assert len(found) == len(pairs)
        assert found.labels.tolist() == [c for _, _, c in pairs]
        torch.testing.assert_close(found.scores, torch.tensor([s for s, _, _ in pairs]))
        index = [q for _, q, _ in pairs]
        expected = boxes[index].clamp(0, 1) * torch.tensor([w, h, w, h])
        torch.testing.assert_close(found.bboxes, expected, atol=1e-4, rtol=0)
        expected = mask_logits_to_image(masks[i, index], shapes[i], (h, w))
        assert found.masks.shape == expected.shape
        assert (found.masks == expected).float().mean() > 0.999  # rounding at the threshold
        assert 0 < found.masks.float().mean() < 1
    assert suppressed > 0


def test_pretrained_weights_stay_and_the_backbone_is_not_fetched(tmp_path):
    cfg = config()
    first = build(cfg, seed=0)
    path = str(tmp_path / 'first.pth')
    torch.save(dict(state_dict=first.state_dict()), path)
    cfg.backbone.init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'missing.pth'))
    cfg.init_cfg = dict(type='Pretrained', checkpoint=path)
    second = build(cfg, seed=1)
    for name, value in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], value), name
    assert second.init_cfg == cfg.init_cfg


def test_other_classes_start_fresh_and_the_rest_is_taken(tmp_path):
    cfg = config()
    first = build(cfg, seed=0)
    path = str(tmp_path / 'first.pth')
    torch.save(dict(state_dict=first.state_dict()), path)
    cfg.bbox_head.num_classes = 8
    cfg.init_cfg = dict(type='Pretrained', checkpoint=path)
    second = build(cfg, seed=1)
    for name, value in second.state_dict().items():
        if 'cls_branches' in name:
            assert len(value) == 8
            # a prior of 0.01, as mmdet's and ours
            assert 'bias' not in name or torch.allclose(value.sigmoid(), torch.tensor(0.01))
        else:
            assert torch.equal(first.state_dict()[name], value), name
