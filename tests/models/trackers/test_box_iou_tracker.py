"""Association by boxes alone."""

import torch

from mmvis_cl.models import BoxIoUTracker


def track(tracker, bank, frame, boxes):
    n = len(boxes)
    return tracker.track(
        bank,
        frame,
        torch.zeros(n, 4),
        torch.linspace(0.9, 0.6, n),
        torch.zeros(n, dtype=torch.long),
        torch.tensor(boxes),
        torch.eye(n),
    )


def test_boxes_that_overlap_keep_their_identity_whatever_the_embeddings():
    tracker = BoxIoUTracker(memory_len=2)
    left, right = [0.2, 0.5, 0.2, 0.2], [0.7, 0.5, 0.2, 0.2]
    ids, bank = track(tracker, None, 0, [left, right])
    assert ids.tolist() == [0, 1]
    # in another order, the right one moved by a quarter of its width: IoU 0.15 / 0.25
    ids, bank = track(tracker, bank, 1, [[0.75, 0.5, 0.2, 0.2], left])
    assert ids.tolist() == [1, 0]
    # moved by three quarters of its width: IoU 0.05 / 0.35 is too little, a new identity
    ids, bank = track(tracker, bank, 2, [[0.35, 0.5, 0.2, 0.2]])
    assert ids.tolist() == [2]


def test_an_identity_is_given_once():
    tracker = BoxIoUTracker()
    box = [0.5, 0.5, 0.4, 0.4]
    _, bank = track(tracker, None, 0, [box])
    ids, _ = track(tracker, bank, 1, [box, [0.52, 0.5, 0.4, 0.4]])
    assert ids.tolist() == [0, 1]
