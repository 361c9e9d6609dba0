"""A video frame by frame, from detections that are made by hand."""

import numpy as np
import pycocotools.mask as mask_util
import torch

from mmvis_cl.models import MemoryBankTracker
from mmvis_cl.models.vis import video_session
from mmvis_cl.models.vis.video_session import VideoSession
from mmvis_cl.ops.one_copy import packed, unpacked
from mmvis_cl.structures import VideoResult, encode_logits
from mmvis_cl.structures.frame_masks import FrameMasks

ORIGINAL = (16, 32)
# x1, y1, x2, y2 in pixels of the network's input, which has the original size
OBJECTS = [(0, 0, 12, 8), (16, 4, 28, 16)]
EMBEDS = 20 * torch.eye(4)
PROB = torch.tensor([[0.1, 0.9, 0.3], [0.6, 0.2, 0.1]])


def session(**options):
    return VideoSession(
        VideoResult('video', 0, ORIGINAL), MemoryBankTracker(), mask_nms_thr=0.5, **options
    )


def mask_logits(objects=OBJECTS, inside=5.0):
    """Of stride 4."""
    logits = torch.full((len(objects), 4, 8), -5.0)
    for mask, (x1, y1, x2, y2) in zip(logits, objects, strict=True):
        mask[y1 // 4 : y2 // 4, x1 // 4 : x2 // 4] = inside
    return logits


def normalized(objects=OBJECTS):
    x1, y1, x2, y2 = torch.tensor(objects, dtype=torch.float32).T
    return torch.stack(((x1 + x2) / 64, (y1 + y2) / 32, (x2 - x1) / 32, (y2 - y1) / 16), 1)


def test_frames_follow_each_other():
    """The class is that of the best mean over the frames so far, and so is the score."""
    video = session()
    first = video.add_frame(PROB, normalized(), EMBEDS[:2], mask_logits(), ORIGINAL)
    assert first.instances_id.tolist() == [0, 1]
    assert first.labels.tolist() == [1, 0]
    torch.testing.assert_close(first.scores, torch.tensor([0.9, 0.6]))
    assert first.bboxes.tolist() == [list(box) for box in OBJECTS]
    # in other order, one of them surely of another class
    other = torch.tensor([[0.2, 0.1, 0.8], [0.1, 0.3, 0.3]])
    second = video.add_frame(
        other, normalized().flip(0), EMBEDS[[1, 0]], mask_logits().flip(0), ORIGINAL
    )
    assert second.instances_id.tolist() == [1, 0]
    assert second.labels.tolist() == [2, 1]
    torch.testing.assert_close(second.scores, torch.tensor([0.45, 0.6]))
    assert (video.next_frame, video.result.length) == (2, 2)
    tracks = {(t.identity, t.label): t for t in video.result.tracks}
    assert [mask is not None for mask in tracks[0, 1].segmentations] == [True, True]
    assert tracks[1, 2].bboxes == [list(OBJECTS[1])] * 2


def test_a_frame_seen_in_a_mirror_is_recorded_as_it_is():
    """Boxes and masks, also of an object on one side only."""
    plain, mirrored = session(), session(flip=True)
    expected = plain.add_frame(PROB, normalized(), EMBEDS[:2], mask_logits(), ORIGINAL)
    boxes = normalized()
    boxes[:, 0] = 1 - boxes[:, 0]
    found = mirrored.add_frame(PROB, boxes, EMBEDS[:2], mask_logits().flip(-1), ORIGINAL)
    assert torch.equal(found.bboxes, expected.bboxes)
    assert found.masks == expected.masks and found.instances_id.tolist() == [0, 1]
    assert plain.result.tracks == mirrored.result.tracks


def test_a_probability_of_one_half_is_outside_of_the_mask():
    """A mask without a pixel overlaps none, so that a second one of the same place stays."""
    boxes = [OBJECTS[0], OBJECTS[0]]
    kept = session().add_frame(
        PROB, normalized(boxes), EMBEDS[:2], mask_logits(boxes, 0.5), ORIGINAL
    )
    assert len(kept.masks) == 1  # the same mask twice
    logits = torch.cat((mask_logits(boxes[:1], 0.0), mask_logits(boxes[:1], 0.5)))
    kept = session().add_frame(PROB, normalized(boxes), EMBEDS[:2], logits, ORIGINAL)
    assert [np.count_nonzero(mask_util.decode(mask)) > 0 for mask in kept.masks] == [False, True]


def test_scores_of_masks_that_are_not_sure_are_lower():
    """All pixels of a mask have the probability 0.6; those of the scores are as they were."""
    logits = mask_logits(inside=float(torch.tensor(0.6).logit()))
    boxes, embeds = normalized(), EMBEDS[:2]
    plain = session().add_frame(PROB, boxes, embeds, logits, ORIGINAL)
    unsure = session(mask_quality=True).add_frame(PROB, boxes, embeds, logits, ORIGINAL)
    assert (unsure.scores < 0.7 * plain.scores).all() and (unsure.scores > 0.5 * plain.scores).all()
    sure = session(mask_quality=True).add_frame(PROB, boxes, embeds, mask_logits(), ORIGINAL)
    assert (sure.scores > 0.85 * plain.scores).all() and (sure.scores < plain.scores).all()


def test_masks_are_smooth_only_if_asked_for():
    """Resized before the threshold, masks have other borders."""
    size = 12, 24
    logits = torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(0))
    given = PROB, normalized(), EMBEDS[:2], logits, size
    plain, smooth = (session(**o).add_frame(*given) for o in ({}, dict(smooth_masks=True)))
    assert plain.masks == encode_logits(logits, size, ORIGINAL)
    assert smooth.masks == encode_logits(logits, size, ORIGINAL, smooth=True) != plain.masks


def test_a_frame_of_a_gpu_comes_in_one_copy(monkeypatch):
    """As on a GPU, but for the device: what comes as bytes of one tensor gives the same frames."""
    copies = []

    def by_bytes(*tensors):
        copies.append(len(tensors))
        given = list(tensors)
        return unpacked(packed(given), given)

    def ahead(*args):
        return FrameMasks(*args, ahead=True)

    for options in ({}, dict(mask_quality=True), dict(flip=True, smooth_masks=True)):
        plain, other = session(**options), session(**options)
        given = PROB, normalized(), EMBEDS[:2], mask_logits(), ORIGINAL
        expected = [plain.add_frame(*given) for _ in range(2)]
        with monkeypatch.context() as patch:
            patch.setattr(video_session, 'to_cpu', by_bytes)
            patch.setattr(video_session, 'FrameMasks', ahead)
            found = [other.add_frame(*given) for _ in range(2)]
        for one, two in zip(found, expected, strict=True):
            assert one.masks == two.masks and torch.equal(one.instances_id, two.instances_id)
            torch.testing.assert_close(one.scores, two.scores)
        assert [track.segmentations for track in other.result.tracks] == [
            track.segmentations for track in plain.result.tracks
        ]
    assert copies == [7, 7, 8, 8, 7, 7]  # with the places of the masks' borders
