import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from mmvis_cl.models.trackers.roi_tracker import detection_iou, roi_embeddings
from mmvis_cl.registry import MODELS

LEFT, RIGHT = [2.0, 2.0, 10.0, 10.0], [20.0, 2.0, 28.0, 10.0]


def build(cfg):
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        return MODELS.build(cfg)


@pytest.fixture(params=['RoITrackHead', 'QuasiDenseTrackHead'])
def model(request):
    """A model that has only a track head of mmdet's, over one map of 4 channels at stride 1."""
    torch.manual_seed(0)
    embed = dict(in_channels=4, roi_feat_size=2, num_fcs=1, fc_out_channels=16)
    embed['type'] = 'RoIEmbedHead'
    if request.param == 'QuasiDenseTrackHead':
        embed.update(
            type='QuasiDenseEmbedHead', embed_channels=16, loss_track_aux=None, init_cfg=None
        )
    head = build(
        dict(
            type=request.param,
            roi_extractor=dict(
                type='SingleRoIExtractor',
                roi_layer=dict(type='RoIAlign', output_size=2, sampling_ratio=2),
                out_channels=4,
                featmap_strides=[1],
            ),
            embed_head=embed,
        )
    )
    holder = torch.nn.Module()
    holder.track_head = head
    return holder


def maps(*boxes):
    """One map (1, 4, 16, 32) of an image twice as large: in box i channel i is on."""
    x = torch.zeros(1, 4, 16, 32)
    for i, box in enumerate(boxes):
        x1, y1, x2, y2 = (int(v) for v in box)
        x[0, i, y1:y2, x1:x2] = 10
    return [x]


def frame(number, boxes, scores, masks=False):
    sample = DetDataSample(metainfo=dict(frame_id=number, scale_factor=(0.5, 0.5)))
    found = InstanceData(
        bboxes=2 * torch.tensor(boxes).reshape(-1, 4),
        scores=torch.tensor(scores),
        labels=torch.zeros(len(boxes), dtype=torch.long),
    )
    if masks:
        found.masks = torch.zeros(len(boxes), 32, 64, dtype=torch.bool)
        for mask, (x1, y1, x2, y2) in zip(found.masks, found.bboxes.int().tolist(), strict=True):
            mask[y1:y2, x1:x2] = True
    sample.pred_instances = found
    return sample


@pytest.mark.parametrize('masks', [False, True])
def test_objects_keep_their_ids_where_they_change_places(model, masks):
    tracker = build(dict(type='RoITracker', tracker=dict(type='MemoryBankTracker')))
    first = tracker.track(model, maps(LEFT, RIGHT), frame(0, [LEFT, RIGHT], [0.8, 0.9], masks))
    # best first
    assert first.scores.tolist() == pytest.approx([0.9, 0.8])
    assert first.bboxes[0].tolist() == [2 * v for v in RIGHT]
    assert first.instances_id.tolist() == [0, 1]
    swapped = tracker.track(
        model, maps(RIGHT, LEFT), frame(1, [LEFT, RIGHT], [0.9, 0.8], masks), img=None
    )
    # the map's channels, and with them the embeddings, have changed places: the left one is now
    # what was on the right
    assert swapped.bboxes[0].tolist() == [2 * v for v in LEFT]
    assert swapped.instances_id.tolist() == [0, 1]
    if masks:
        assert swapped.masks.shape == (2, 32, 64)


def test_box_iou_tracker_follows_places(model):
    tracker = build(dict(type='RoITracker', tracker=dict(type='BoxIoUTracker')))
    tracker.track(model, maps(LEFT, RIGHT), frame(0, [LEFT, RIGHT], [0.8, 0.9]))
    swapped = tracker.track(model, maps(RIGHT, LEFT), frame(1, [LEFT, RIGHT], [0.9, 0.8]))
    assert swapped.instances_id.tolist() == [1, 0]


def test_embeddings_are_those_that_mmdet_compares(model):
    feats = maps(LEFT, RIGHT)
    feats[0] += torch.rand(feats[0].shape)
    boxes = torch.tensor([LEFT, RIGHT, [0.0, 0.0, 30.0, 15.0]])
    embeds = roi_embeddings(model.track_head, feats, boxes)
    if type(model.track_head).__name__ == 'RoITrackHead':
        rois, _ = model.track_head.extract_roi_feats(feats, [boxes])
        similarity = model.track_head.predict(rois, rois)[:, 1:]  # the first is "a new object"
        torch.testing.assert_close(embeds @ embeds.T, similarity)
    else:
        torch.testing.assert_close(embeds, model.track_head.predict(feats, [boxes]))


def test_duplicates_of_any_class_are_dropped(model):
    tracker = build(dict(type='RoITracker'))
    sample = frame(0, [LEFT, RIGHT, LEFT], [0.9, 0.8, 0.7])
    sample.pred_instances.labels = torch.tensor([0, 0, 1])
    found = tracker.track(model, maps(LEFT, RIGHT), sample)
    assert found.labels.tolist() == [0, 0] and len(found.bboxes) == 2


def test_identities_are_forgotten_in_empty_frames_and_at_a_reset(model):
    tracker = build(dict(type='RoITracker', tracker=dict(type='MemoryBankTracker', max_unseen=2)))
    empty = tracker.track(model, maps(), frame(0, [], []))
    assert len(empty) == 0 and empty.instances_id.tolist() == []
    assert tracker.track(model, maps(LEFT), frame(1, [LEFT], [0.9])).instances_id.tolist() == [0]
    tracker.track(model, maps(), frame(2, [], []))
    assert len(tracker.bank) == 1
    tracker.track(model, maps(), frame(3, [], []))
    assert len(tracker.bank) == 0
    assert tracker.track(model, maps(LEFT), frame(4, [LEFT], [0.9])).instances_id.tolist() == [1]
    tracker.reset()
    assert tracker.track(model, maps(LEFT), frame(0, [LEFT], [0.9])).instances_id.tolist() == [0]


def test_iou_of_masks_is_preferred_to_that_of_boxes():
    boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 4.0]])
    masks = torch.zeros(2, 4, 4, dtype=torch.bool)
    masks[0, :3], masks[1, 2:] = True, True  # 12 and 8 pixels, 4 of them shared
    assert detection_iou(InstanceData(bboxes=boxes))[0, 1] == 1
    shared = detection_iou(InstanceData(bboxes=boxes, masks=masks, scores=torch.ones(2)))
    assert shared[0, 1] == pytest.approx(4 / 16)


def test_cosine_scale(model):
    """Products of the embeddings that reach the bank are scaled cosines of mmdet's."""
    tracker = build(dict(type='RoITracker', cosine_scale=7.0))
    feats = maps(LEFT, RIGHT)
    feats[0] += torch.rand(feats[0].shape)
    tracker.track(model, feats, frame(0, [LEFT, RIGHT], [0.9, 0.8]))
    kept = tracker.bank.embeds[:, -1]
    plain = roi_embeddings(model.track_head, feats, torch.tensor([LEFT, RIGHT]))
    cosine = torch.nn.functional.cosine_similarity(plain[:, None], plain, dim=2)
    torch.testing.assert_close(kept @ kept.T, 7 * cosine)
    assert cosine[0, 1] < 0.99
