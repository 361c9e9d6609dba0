"""Labels hide one another only where there is no room."""

import numpy as np
import pytest

from mmvis_cl.visualization.labels import label_picture, place_labels


def hidden(places, sizes):
    """Pairs of labels that share pixels."""
    low, high = places, places + sizes
    n = len(places)
    return [
        (i, j)
        for i in range(n)
        for j in range(i)
        if (low[i] < high[j]).all() and (low[j] < high[i]).all()
    ]


@pytest.mark.parametrize('seed', range(5))
@pytest.mark.parametrize('spread', [1.0, 0.2, 0.0])
def test_no_label_hides_another_and_all_are_in_the_frame(seed, spread):
    rng = np.random.default_rng(seed)
    corners = (0.5 + spread * rng.uniform(-0.6, 0.6, (35, 2))) * (1280, 720)
    sizes = rng.integers((60, 20), (260, 40), (35, 2))
    places = place_labels(corners, sizes, (1280, 720))
    assert hidden(places, sizes) == []
    assert (places >= 0).all() and (places + sizes <= (1280, 720)).all()


def test_labels_stay_where_they_are_free():
    sizes = np.array([[50, 20]] * 3)
    places = place_labels(np.array([[10.4, 100], [60.2, 100], [10, 120.0]]), sizes, (200, 200))
    assert places.tolist() == [[10, 80], [60, 80], [10, 100]]


def test_the_place_is_the_nearest_free_one():
    """Against a look at every place."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        corners, sizes = rng.uniform(0, 60, (6, 2)), rng.integers(6, 22, (6, 2))
        places = place_labels(corners, sizes, (60, 50))
        for i in range(6):
            room = np.array([60, 50]) - sizes[i]
            wanted = np.clip(np.round(corners[i]) - (0, sizes[i, 1]), 0, room)
            grid = np.stack(np.meshgrid(*(np.arange(r + 1) for r in room)), -1).reshape(-1, 2)
            meets = np.zeros(len(grid), bool)
            for low, size in zip(places[:i], sizes[:i], strict=True):
                meets |= ((grid < low + size) & (low < grid + sizes[i])).all(1)
            if meets.all():
                assert (places[i] == wanted).all()
            else:
                nearest = np.hypot(*(grid[~meets] - wanted).T).min()
                assert np.hypot(*(places[i] - wanted)) == pytest.approx(nearest)


def test_a_full_frame_and_a_label_wider_than_it():
    sizes = np.array([[60, 20]] * 3)
    places = place_labels(np.full((3, 2), 20.0), sizes, (50, 40))
    assert places.tolist() == [[0, 0], [0, 20], [0, 0]]


def test_a_picture_is_kept_by_text_colour_and_size():
    light = label_picture('#1 cat 0.50', (240, 228, 66), 2.0)
    assert label_picture('#1 cat 0.50', (240, 228, 66), 2.0) is light
    assert (light[0] == (240, 228, 66)).all() and light.min() == 0  # dark text
    dark = label_picture('#1 cat 0.50', (51, 34, 136), 2.0)
    assert dark.max() == 255 and dark.shape == light.shape
    small = label_picture('#1 cat 0.50', (51, 34, 136), 1.0)
    assert small.shape[0] < dark.shape[0] and small.shape[1] < dark.shape[1]
    with pytest.raises(ValueError, match='read-only'):
        light[:] = 0
