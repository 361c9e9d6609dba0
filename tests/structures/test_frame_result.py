import numpy as np

from mmvis_cl.structures import FrameResult, encode_masks


def frame_result(n):
    masks = np.zeros((n, 6, 8), bool)
    for i in range(n):
        masks[i, i : i + 2, 2 * i : 2 * i + 3] = True
    result = FrameResult(
        index=4,
        time=0.5,
        image=np.zeros((6, 8, 3), np.uint8),
        identities=np.arange(n, dtype=np.int64) + 7,
        labels=np.arange(n, dtype=np.int64) % 2,
        classes=['cat', 'dog', 'cat'][:n],
        scores=np.linspace(0.9, 0.5, n).astype(np.float32),
        bboxes=np.float32([[2 * i, i, 2 * i + 3, i + 2] for i in range(n)]).reshape(-1, 4),
        rles=encode_masks(masks),
    )
    return result, masks


def test_masks():
    result, masks = frame_result(3)
    np.testing.assert_array_equal(result.masks, masks)
    assert len(result) == 3 and result.masks.dtype == bool


def test_supervision():
    result, masks = frame_result(3)
    detections = result.to_supervision()
    assert detections.area.tolist() == masks.sum((1, 2)).tolist()  # supervision counts them
    np.testing.assert_array_equal(detections.box_area, [6, 6, 6])
    dogs = detections[detections.data['class_name'] == 'dog']
    assert (dogs.tracker_id.tolist(), dogs.class_id.tolist()) == ([8], [1])
    np.testing.assert_array_equal(dogs.mask, masks[1:2])
    assert detections[detections.confidence > 0.6].tracker_id.tolist() == [7, 8]


def test_nothing_found():
    result, _ = frame_result(0)
    assert len(result) == 0 and result.masks.shape == (0, 6, 8)
    assert len(result.to_supervision()) == 0


def test_above():
    result, masks = frame_result(3)  # scores 0.9, 0.7, 0.5
    shown = result.above(0.6)
    assert (shown.identities.tolist(), shown.classes) == ([7, 8], ['cat', 'dog'])
    np.testing.assert_array_equal(shown.masks, masks[:2])
    np.testing.assert_array_equal(shown.bboxes, result.bboxes[:2])
    assert shown.labels.tolist() == [0, 1] and shown.index == result.index
    assert len(result.above(0.9)) == 0 and len(result) == 3
