import cv2
import numpy as np
import pytest

from mmvis_cl.visualization import draw_tracks, identity_colors


def scene(height=400, width=600):
    masks = np.zeros((2, height, width), bool)
    masks[0, 100:200, 50:150] = True
    masks[1, 250:350, 300:500] = True
    bboxes = np.array([[50, 100, 150, 200], [300, 250, 500, 350]], np.float32)
    return np.full((height, width, 3), 90, np.uint8), masks, bboxes


def test_masks_have_the_colour_of_their_identity_and_nothing_else_changes():
    image, masks, bboxes = scene()
    before = image.copy()
    out = draw_tracks(image, masks, bboxes, ['cat', 'dog'], [0.9, 0.8], [3, 1], opacity=0.5)
    assert out.shape == image.shape and out.dtype == np.uint8
    assert (image == before).all()
    for center, color in (((150, 100), 3), ((300, 400), 1)):
        expected = 0.5 * 90 + 0.5 * identity_colors([color])[0].astype(float)
        np.testing.assert_allclose(out[center], expected, atol=1.01)
    assert (out[380:, :40] == 90).all()


def test_a_colour_follows_the_identity_and_not_the_position():
    image, masks, bboxes = scene()
    one = draw_tracks(image, masks, bboxes, ['cat', 'dog'], [0.9, 0.8], [3, 1])
    other = draw_tracks(image, masks[::-1], bboxes[::-1], ['dog', 'cat'], [0.8, 0.9], [1, 3])
    for center in ((150, 100), (300, 400)):
        assert (one[center] == other[center]).all()


def test_color_ids_choose_the_colour():
    image, masks, bboxes = scene()
    out = draw_tracks(
        image, masks, bboxes, ['a', 'b'], None, [40, 47], color_ids=[0, 1], opacity=1.0
    )
    np.testing.assert_allclose(out[150, 100], identity_colors([0])[0], atol=1)
    np.testing.assert_allclose(out[300, 400], identity_colors([1])[0], atol=1)


def test_small_frames_are_enlarged_with_everything_on_them():
    image = np.zeros((96, 160, 3), np.uint8)
    masks = np.zeros((1, 96, 160), bool)
    masks[0, 40:60, 20:60] = True
    out = draw_tracks(image, masks, [[20, 40, 60, 60]], ['disk'], [0.5], [0], opacity=1.0)
    assert out.shape == (360, 600, 3)
    np.testing.assert_allclose(out[int(50 * 3.75), int(40 * 3.75)], identity_colors([0])[0], atol=1)


def test_a_frame_without_instances():
    image = np.full((400, 400, 3), 7, np.uint8)
    out = draw_tracks(image, np.zeros((0, 400, 400), bool), np.zeros((0, 4)), [], [], [])
    assert (out == image).all()


def test_identities_are_far_apart_in_colour():
    # CIELAB distances; about 2 can just be seen side by side.
    rgb = identity_colors(range(20))[None].astype(np.float32) / 255
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)
    distance = np.linalg.norm(lab[0][:, None] - lab[0][None], axis=2) + 1e3 * np.eye(20)
    assert distance.min() > 20
    assert (identity_colors([2]) == identity_colors([22])).all()


def test_numbers_that_do_not_agree():
    image, masks, bboxes = scene()
    with pytest.raises(ValueError, match='2 masks, 2 boxes, 1 labels, 2 identities'):
        draw_tracks(image, masks, bboxes, ['cat'], [0.9, 0.8], [3, 1])
