import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mmvis_cl.visualization import identity_colors
from mmvis_cl.visualization.comparison import Comparison

HEIGHT, WIDTH, LENGTH = 90, 160, 6
PANEL = 320  # twice the video's size
LEFT, RIGHT, NOWHERE = (30, 10), (30, 90), (2, 60)
CAT, DOG = 1, 2


def rle(top, left, side=24):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order='F')
    mask[top : top + side, left : left + side] = 1
    return dict(size=[HEIGHT, WIDTH], counts=mask_utils.encode(mask)['counts'].decode())


def track(*places, score=0.9, category_id=CAT):
    return dict(
        category_id=category_id,
        score=score,
        segmentations=[place and rle(*place) for place in places],
    )


def comparison_of(results, objects=None, **options):
    video = dict(id=4, width=WIDTH, height=HEIGHT, length=LENGTH)
    objects = objects or [track(*[LEFT] * LENGTH), track(*[RIGHT] * LENGTH)]
    return Comparison(
        video, objects, results, {CAT: 'cat', DOG: 'dog'}, panel_width=PANEL, **options
    )


def panels_of(comparison, frame, number):
    """The pictures of the panels, without titles and caption."""
    image = comparison.draw(frame, np.full((HEIGHT, WIDTH, 3), 100, np.uint8))
    assert image.dtype == np.uint8
    assert image.shape[1] == number * PANEL
    title = comparison._title(comparison._panels[0], frame).shape[0]
    body = image[title : title + 2 * HEIGHT]
    return np.split(body, number, axis=1)


def inside(panel, place):
    """A pixel of the mask at a place, below the label and off the border."""
    return panel[2 * place[0] + 40, 2 * place[1] + 40].astype(int)


def blended(color_id):
    return 0.55 * 100 + 0.45 * identity_colors([color_id])[0].astype(float)


def test_tracks_have_the_colour_of_the_object_they_are_on_most():
    # Identities in another order than the objects, and one that swaps late.
    swapped = [
        track(*[RIGHT] * 4, *[LEFT] * 2),
        track(*[LEFT] * 4, *[RIGHT] * 2),
    ]
    comparison = comparison_of({'a': swapped})
    truth, result = panels_of(comparison, 0, 2)
    for panel in (truth, result):
        np.testing.assert_allclose(inside(panel, LEFT), blended(0), atol=2)
        np.testing.assert_allclose(inside(panel, RIGHT), blended(1), atol=2)
    # After the swap each object wears the colour of the other.
    truth, result = panels_of(comparison, 5, 2)
    np.testing.assert_allclose(inside(truth, LEFT), blended(0), atol=2)
    np.testing.assert_allclose(inside(result, LEFT), blended(1), atol=2)
    np.testing.assert_allclose(inside(result, RIGHT), blended(0), atol=2)
    assert comparison.counts() == {'a': dict(switches=2, misses=0, extra=0, classes=0)}
    assert comparison.counts(4)['a']['switches'] == 0
    assert comparison.counts(5)['a']['switches'] == 2


def white(panel):
    return int((panel == 255).all(-1).sum())


def test_a_switch_is_marked_when_it_happens_and_shortly_after():
    split = [track(LEFT, LEFT, None, None, None, None), track(None, None, *[LEFT] * 4)]
    comparison = comparison_of({'a': split}, [track(*[LEFT] * LENGTH)])
    marked = [white(panels_of(comparison, frame, 2)[1]) > 200 for frame in range(LENGTH)]
    assert marked == [False, False, True, True, True, False]
    assert comparison.counts()['a'] == dict(switches=1, misses=0, extra=0, classes=0)


def test_a_missed_object_is_marked_in_its_colour():
    found = track(*[LEFT] * LENGTH)
    comparison = comparison_of({'a': [found, track(RIGHT, RIGHT, None, None, RIGHT, RIGHT)]})
    color = identity_colors([1])[0]
    top, left = 2 * RIGHT[0] + 48, 2 * RIGHT[1]  # where the note below the box is
    for frame in range(LENGTH):
        below = panels_of(comparison, frame, 2)[1][top + 2 : top + 24, left : left + 60]
        assert ((below == color).all(-1).sum() > 100) == (frame in (2, 3))
    assert comparison.counts()['a'] == dict(switches=0, misses=2, extra=0, classes=0)


def test_a_track_on_no_object_is_grey_and_hatched():
    results = {'a': [track(*[LEFT] * LENGTH), track(*[NOWHERE] * LENGTH)]}
    comparison = comparison_of(results)
    panel = panels_of(comparison, 0, 2)[1]
    top, left = 2 * NOWHERE[0], 2 * NOWHERE[1]
    area = panel[top + 6 : top + 40, left + 6 : left + 40]
    assert (area == area[..., :1]).all()  # grey
    assert {tuple(pixel) for pixel in area.reshape(-1, 3)} == {(150,) * 3, (50,) * 3}
    assert comparison.counts()['a'] == dict(switches=0, misses=LENGTH, extra=LENGTH, classes=0)


def test_what_is_left_out():
    objects = [track(*[LEFT] * LENGTH)]
    weak = track(*[NOWHERE] * LENGTH, score=0.2)
    # One identity, two classes: the same masks again.
    again = track(*[LEFT] * LENGTH, score=0.5)
    results = {'a': [again, weak, track(*[LEFT] * LENGTH)]}
    assert comparison_of(results, objects).counts()['a']['extra'] == 0
    both = comparison_of(results, objects, score_thr=0.1)
    assert both.counts()['a']['extra'] == LENGTH
    assert [identity.score for identity in both._panels[1].identities] == [0.9, 0.2]


@pytest.mark.parametrize(('number', 'columns'), [(1, 2), (2, 3), (3, 2), (6, 3)])
def test_panels_are_set_in_rows(number, columns):
    results = {f'result {i}': [] for i in range(number)}
    comparison = comparison_of(results)
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    shapes = {comparison.draw(i, frame).shape for i in (0, LENGTH - 1)}
    assert len(shapes) == 1
    height, width, _ = shapes.pop()
    rows = -(-(number + 1) // columns)
    assert width == columns * PANEL
    assert rows * 2 * HEIGHT < height < rows * 2 * HEIGHT + 25 * (rows + 3)
    assert all(counts['misses'] == 2 * LENGTH for counts in comparison.counts().values())


def test_a_video_without_objects():
    video = dict(id=4, width=WIDTH, height=HEIGHT, length=LENGTH)
    comparison = Comparison(video, [], {'a': [track(*[LEFT] * LENGTH)]}, {CAT: 'cat'})
    comparison.draw(0, np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    assert comparison.counts()['a'] == dict(switches=0, misses=0, extra=LENGTH, classes=0)


def test_a_wrong_class_is_marked_in_red_and_counted_from_when_it_is_seen():
    right = track(*[LEFT] * LENGTH)
    wrong = track(None, None, *[RIGHT] * 4, category_id=DOG)
    nowhere = track(*[NOWHERE] * LENGTH, category_id=DOG)  # on no object: of no class
    comparison = comparison_of({'a': [right, wrong, nowhere]})
    assert [comparison.counts(frame)['a']['classes'] for frame in (1, 2, 3, 6)] == [0, 0, 1, 1]

    def red(frame):
        _, panel = panels_of(comparison, frame, 2)
        return (np.abs(panel.astype(int) - (220, 40, 40)) < 20).all(-1)

    assert not red(1).any()
    rows, columns = np.nonzero(red(2))
    # Around the right object, at twice its size, and a note below; nothing at the others.
    assert 2 * RIGHT[0] - 12 <= rows.min() and 2 * RIGHT[1] - 12 <= columns.min()
    assert columns.max() >= 2 * (RIGHT[1] + 24) - 4
    assert not comparison_of({'a': [right, track(*[RIGHT] * LENGTH)]}).counts()['a']['classes']
