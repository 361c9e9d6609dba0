"""A camera that moves over an image: where the frames lie in it."""

import numpy as np
import pytest
from mmdet.structures.mask import BitmapMasks

from mmvis_cl.datasets import MovingCrop, MovingRotation, PseudoPair

H, W, N = 60, 90, 7


@pytest.fixture(autouse=True)
def _seed():
    np.random.seed(0)


def still_clip():
    """N times the same frame: each pixel says where it is; one object, six more far off."""
    rows, columns = np.mgrid[:H, :W]
    image = np.stack((rows, columns, np.full((H, W), 200)), -1).astype(np.uint8)
    mask = np.zeros((7, H, W), np.uint8)
    mask[0, 20:40, 30:60] = 1
    mask[1:, :2, :2] = 1
    boxes = np.array([[30, 20, 60, 40]] + [[0, 0, 2, 2]] * 6, np.float32)
    return dict(
        img=[image.copy() for _ in range(N)],
        img_shape=[(H, W)] * N,
        homography_matrix=[np.eye(3, dtype=np.float32)] * N,
        gt_bboxes=[boxes.copy() for _ in range(N)],
        gt_bboxes_labels=[np.arange(7)] * N,
        gt_ignore_flags=[np.zeros(7, bool)] * N,
        gt_instances_ids=[np.arange(7) + 1] * N,
        gt_masks=[BitmapMasks(mask.copy(), H, W) for _ in range(N)],
    )


def test_the_window_keeps_its_size_and_moves_one_way():
    crop = MovingCrop(crop_type='absolute_range', crop_size=(30, 50))
    ways, sizes = set(), set()
    for _ in range(40):
        clip = crop.transform(still_clip())
        shapes = {image.shape for image in clip['img']}
        assert len(shapes) == 1
        (shape,) = shapes
        sizes.add(shape[:2])
        assert 30 <= shape[0] <= 50 and 30 <= shape[1] <= 50
        places = np.array([image[0, 0, :2] for image in clip['img']]).astype(int)
        assert (places >= 0).all() and (places + shape[:2] <= (H, W)).all()
        steps = np.diff(places, axis=0)
        assert (steps >= 0).all() or (steps <= 0).all()
        ways.add(int(np.sign(steps.sum())))
        # all on one line: the same share of the way on both axes, but for rounding
        way = places[-1] - places[0]
        off = (places - places[0]) * way[::-1]
        assert (abs(off[:, 0] - off[:, 1]) <= abs(way).sum() + 1).all()
        for place, masks in zip(places, clip['gt_masks'], strict=True):
            top, left = place
            part = still_clip()['gt_masks'][0].masks[0][
                top : top + shape[0], left : left + shape[1]
            ]
            if part.any():
                assert np.array_equal(masks.masks[0], part)
    assert ways >= {-1, 1} and len(sizes) > 30


def test_objects_outside_of_the_window_are_gone_with_all_that_is_theirs():
    crop = MovingCrop(crop_type='absolute_range', crop_size=(30, 30))
    clip = crop.transform(still_clip())
    for t in range(N):
        count = len(clip['gt_masks'][t])
        assert {len(clip[key][t]) for key in clip if key.startswith('gt_')} == {count}
    assert any(len(masks) < 7 for masks in clip['gt_masks'])


def test_frames_turn_around_one_point_by_angles_in_order():
    turn = MovingRotation(max_angle=15.0)
    ways = set()
    for _ in range(20):
        clip = turn.transform(still_clip())
        angles = []
        for image, masks in zip(clip['img'], clip['gt_masks'], strict=True):
            assert image.shape == (H, W, 3) and masks.masks.shape == (7, H, W)
            # columns of the source along a row of the middle: their slope is the angle
            inside = image[H // 2, 20:70, 2] == 200
            rows = image[H // 2, 20:70, 0][inside].astype(float)
            columns = image[H // 2, 20:70, 1][inside].astype(float)
            slope = np.polyfit(columns, rows, 1)[0]
            angles.append(np.degrees(np.arctan(slope)))
            # the mask goes with its pixels
            source = masks.masks[0].astype(bool) & (image[..., 2] > 150)
            found = image[source][:, :2].astype(int)
            assert (found[:, 0] >= 19).all() and (found[:, 0] <= 40).all()
            assert (found[:, 1] >= 29).all() and (found[:, 1] <= 60).all()
            assert abs(int(masks.masks[0].sum()) - 600) < 40
        assert max(map(abs, angles)) < 16
        steps = np.diff(angles)
        assert (steps > -0.5).all() or (steps < 0.5).all()
        ways.add(bool(steps.sum() > 0))
    assert ways == {True, False}


def test_an_image_without_objects_turns_as_well():
    clip = still_clip()
    clip['gt_masks'] = [BitmapMasks([], H, W)] * N
    turned = MovingRotation().transform(clip)
    assert [len(masks) for masks in turned['gt_masks']] == [0] * N


def test_pseudo_clips_have_as_many_frames_as_wanted():
    image = dict(img_id=3, img_path='a.jpg', instances=[dict(bbox_label=1)])
    clip = PseudoPair(num_frames=4).transform(image)
    assert clip['frame_id'] == [0, 1, 2, 3] and clip['video_length'] == [4] * 4
    assert clip['key_frame_flags'] == [True, False, False, False]
    assert [one[0]['instance_id'] for one in clip['instances']] == [1] * 4
    with pytest.raises(ValueError, match='num_frames must be at least 2'):
        PseudoPair(num_frames=1)
