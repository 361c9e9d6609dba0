import numpy as np
import pytest

from mmvis_cl.structures import FrameResult, encode_masks
from mmvis_cl.visualization import FrameDrawer, draw_tracks, identity_colors

HEIGHT, WIDTH = 360, 480


def frame_result(index, boxes):
    """A frame with a box, filled by its mask, for each identity: ``{identity: (x, y)}``."""
    masks = np.zeros((len(boxes), HEIGHT, WIDTH), bool)
    corners = []
    for mask, (x, y) in zip(masks, boxes.values(), strict=True):
        mask[y : y + 40, x : x + 40] = True
        corners.append([x, y, x + 40, y + 40])
    n = len(boxes)
    return FrameResult(
        index,
        index / 10,
        np.full((HEIGHT, WIDTH, 3), 90, np.uint8),
        np.array(list(boxes), np.int64),
        np.zeros(n, np.int64),
        ['cat'] * n,
        np.full(n, 0.5, np.float32),
        np.array(corners, np.float32).reshape(-1, 4),
        encode_masks(masks) if n else [],
    )


def masked(color):
    return 0.55 * 90 + 0.45 * identity_colors([color])[0].astype(float)


def test_an_identity_keeps_the_colour_of_its_first_frame():
    drawer = FrameDrawer()
    first = drawer.draw(frame_result(0, {33: (100, 200)}))
    drawer.draw(frame_result(1, {}))
    last = drawer.draw(frame_result(2, {8: (300, 200), 33: (100, 200)}))
    for image, x, color in ((first, 120, 0), (last, 120, 0), (last, 320, 1)):
        np.testing.assert_allclose(image[220, x], masked(color), atol=2)


def test_a_frame_is_drawn_once_for_all_outputs():
    drawer = FrameDrawer()
    frame = frame_result(0, {1: (10, 10)})
    assert drawer.draw(frame) is drawer.draw(frame)
    assert drawer.draw(frame_result(0, {1: (10, 10)})) is not drawer.draw(frame)


def on_trail(image, x, y=220):
    """Whether the line of the first colour goes through a point outside of masks and boxes."""
    return np.abs(image[y, x].astype(int) - identity_colors([0])[0]).max() < 8


def test_a_trail_joins_the_centres_of_the_last_frames():
    drawer = FrameDrawer(trails=3)
    # centres at x = 70, 120, 170, ...
    images = [drawer.draw(frame_result(t, {5: (50 + 50 * t, 200)})) for t in range(6)]
    assert not on_trail(images[0], 95)
    assert [on_trail(images[3], x) for x in (80, 130, 180)] == [True] * 3
    # frame 5 at 320 goes back to frame 2 at 170
    assert [on_trail(images[5], x) for x in (80, 130, 160, 180, 260)] == [False] * 3 + [True] * 2
    plain = FrameDrawer().draw(frame_result(3, {5: (200, 200)}))
    assert not on_trail(plain, 130)


def test_a_trail_forgets_those_that_were_not_seen_for_long():
    drawer = FrameDrawer(trails=3)
    drawer.draw(frame_result(0, {5: (50, 200)}))
    for t in range(1, 9):
        drawer.draw(frame_result(t, {}))
    assert drawer._centers == {}
    image = drawer.draw(frame_result(9, {5: (350, 200)}))
    assert not on_trail(image, 200)


def test_trails_are_scaled_with_a_small_frame():
    image = np.full((90, 120, 3), 90, np.uint8)
    drawn = draw_tracks(
        image,
        np.zeros((1, 90, 120), bool),
        [[80, 40, 100, 60]],
        ['cat'],
        None,
        [0],
        trails=[np.array([[10.0, 50.0], [90.0, 50.0]])],
    )
    assert drawn.shape == (360, 480, 3)
    assert on_trail(drawn, 160, 200)
    assert not on_trail(drawn, 160, 50)


def test_trails_must_be_as_many_as_the_instances():
    image = np.zeros((40, 40, 3), np.uint8)
    with pytest.raises(ValueError, match='the numbers must agree'):
        draw_tracks(image, [], [], [], [], [], trails=[np.zeros((1, 2))])
