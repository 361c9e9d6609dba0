"""Losses of all layers and images at once, against mmdet's own of each layer."""

import pytest
import torch
from mmdet.models.losses import GIoULoss, L1Loss
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmengine.registry import DefaultScope
from release_fixtures import frame_sample
from torchvision.ops import sigmoid_focal_loss

from mmvis_cl.models import OTAMatch, QueryHead
from mmvis_cl.models.dense_heads.query_head import matched_queries, normalized_boxes


@pytest.fixture
def head():
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        return QueryHead(
            num_classes=4,
            embed_dims=16,
            num_pred_layer=2,
            loss_cls=dict(type='SigmoidFocalLoss', loss_weight=2.0),
            loss_bbox=dict(type='L1Loss', loss_weight=5.0),
            loss_iou=dict(type='GIoULoss', loss_weight=2.0),
            train_cfg=dict(assigner=dict(type='OTAAssigner')),
        )


def samples_with(*counts):
    g = torch.Generator().manual_seed(0)
    samples = []
    for n in counts:
        corner = 50 * torch.rand((n, 2), generator=g)
        boxes = torch.cat((corner, corner + 10 + 30 * torch.rand((n, 2), generator=g)), 1)
        labels = torch.randint(0, 4, (n,), generator=g)
        samples.append(frame_sample((90, 100), bboxes=boxes, labels=labels))
    return samples


def predictions(images):
    g = torch.Generator().manual_seed(1)
    logits = torch.randn((2, images, 12, 4), generator=g)
    boxes = 0.3 + 0.3 * torch.rand((2, images, 12, 4), generator=g)
    return logits.requires_grad_(), boxes.requires_grad_()


def test_losses_are_mmdets_of_each_layer(head):
    samples = samples_with(3, 0, 2)
    logits, boxes = predictions(3)
    matches = head.match(logits, boxes, samples)
    losses = head.loss(logits, boxes, matches, samples)
    assert set(losses) == {f'{d}loss_{n}' for d in ('d0.', '') for n in ('cls', 'bbox', 'iou')}
    for layer, prefix in enumerate(('d0.', '')):
        pred, target, classes = [], [], torch.zeros(3, 12, 4)
        for i, (match, sample) in enumerate(zip(matches, samples, strict=True)):
            for query, of in enumerate(match.objects[layer].tolist()):
                if of >= 0:
                    pred.append(boxes[layer, i, query])
                    target.append(normalized_boxes(sample)[of])
                    classes[i, query, sample.gt_instances.labels[of]] = 1
        pred, target, count = torch.stack(pred), torch.stack(target), len(pred)
        focal = 2 * sigmoid_focal_loss(logits[layer], classes).sum() / count
        l1 = L1Loss(loss_weight=5.0)(pred, target, avg_factor=count)
        corners = bbox_cxcywh_to_xyxy(pred), bbox_cxcywh_to_xyxy(target)
        giou = GIoULoss(loss_weight=2.0)(*corners, avg_factor=count)
        for name, expected in (('cls', focal), ('bbox', l1), ('iou', giou)):
            torch.testing.assert_close(losses[f'{prefix}loss_{name}'], expected)


def test_without_objects_the_losses_are_zero_and_have_gradients(head):
    samples = samples_with(0, 0)
    logits, boxes = predictions(2)
    losses = head.loss(logits, boxes, head.match(logits, boxes, samples), samples)
    sum(losses.values()).backward()
    assert losses['loss_bbox'] == losses['d0.loss_iou'] == 0
    assert (boxes.grad == 0).all() and (logits.grad != 0).all()


def test_one_query_and_none_count_as_one(head):
    """Layers with a single matched query; their losses are that query's own."""
    (sample,) = samples_with(1)
    logits, boxes = predictions(1)
    objects = torch.full((2, 12), -1)
    objects[0, 3] = 0  # and none in the last layer
    match = OTAMatch(objects, torch.zeros((2, 1), dtype=torch.long))
    losses = head.loss(logits, boxes, [match], [sample])
    target = normalized_boxes(sample)[0]
    torch.testing.assert_close(losses['d0.loss_bbox'], 5 * (boxes[0, 0, 3] - target).abs().sum())
    assert losses['loss_bbox'] == losses['loss_iou'] == 0
    focal = 2 * sigmoid_focal_loss(logits[1], torch.zeros(1, 12, 4)).sum()
    torch.testing.assert_close(losses['loss_cls'], focal)


def test_boxes_are_over_the_size_whether_or_not_it_tells_the_channels():
    (sample,) = samples_with(2)
    x1, y1, x2, y2 = sample.gt_instances.bboxes.T
    expected = torch.stack(
        ((x1 + x2) / 200, (y1 + y2) / 180, (x2 - x1) / 100, (y2 - y1) / 90), 1
    )  # of 90 x 100 pixels
    torch.testing.assert_close(normalized_boxes(sample), expected)
    sample.set_metainfo(dict(img_shape=(90, 100, 3)))
    torch.testing.assert_close(normalized_boxes(sample), expected)


def test_the_last_layer_is_that_of_all():
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        loss_cls = dict(type='SigmoidFocalLoss')
        head = QueryHead(4, embed_dims=16, num_pred_layer=4, train_cfg=None, loss_cls=loss_cls)
    for parameter in head.parameters():  # as after a training: no two layers alike
        torch.nn.init.normal_(parameter)
    states, references = torch.randn(4, 2, 6, 16), list(torch.rand(5, 2, 6, 4))
    logits, boxes = head.last_layer(states, references)
    assert torch.equal(logits, head.cls_branches[3](states[3])[None])
    assert torch.equal(boxes, references[4][None])


def test_matched_queries_are_counted_over_all_images():
    none = torch.zeros((2, 0), dtype=torch.long)
    matches = [
        OTAMatch(torch.tensor([[-1, 1, 0], [0, -1, 1]]), torch.zeros((2, 2), dtype=torch.long)),
        OTAMatch(torch.full((2, 3), -1), none),
        OTAMatch(torch.tensor([[0, -1, -1], [-1, -1, 0]]), torch.zeros((2, 1), dtype=torch.long)),
    ]
    found = torch.stack(matched_queries(matches), 1).tolist()  # layer, image, query, object
    assert found == [
        [0, 0, 1, 1],
        [0, 0, 2, 0],
        [1, 0, 0, 0],
        [1, 0, 2, 1],
        [0, 2, 0, 2],
        [1, 2, 2, 2],
    ]
