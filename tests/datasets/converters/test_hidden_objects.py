"""What is hidden is hidden, for as long as was asked for, and annotated as it is seen."""

import json

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mmvis_cl.datasets.converters.hidden_objects import hide_objects
from mmvis_cl.errors import InputError
from mmvis_cl.evaluation.track_ap import checked_tracks

SIZE = 60, 100


@pytest.fixture
def data(tmp_path):
    """Two videos of six frames: a green square that moves, and a large red ring in each."""
    videos, annotations = [], []
    for number in (1, 2):
        names = [f'{number}/{t}.png' for t in range(6)]
        (tmp_path / 'images' / str(number)).mkdir(parents=True)
        squares, rings = [], []
        for t, name in enumerate(names):
            image = np.full((*SIZE, 3), 40 * number, np.uint8)
            ring, square = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8)
            cv2.circle(ring, (75, 30), 18, 1, 8)
            square[20 + t : 28 + t, 15 + 2 * t : 25 + 2 * t] = 1
            image[ring > 0], image[square > 0] = (0, 0, 200), (0, 200, 0)
            cv2.imwrite(str(tmp_path / 'images' / name), image)
            for mask, masks in ((square, squares), (ring, rings)):
                rle = mask_utils.encode(np.asfortranarray(mask))
                masks.append(dict(size=rle['size'], counts=rle['counts'].decode()))
        size = dict(height=SIZE[0], width=SIZE[1], length=6)
        videos.append(dict(id=number, file_names=names, **size))
        for label, masks in enumerate((squares, rings), 1):
            ids = dict(id=len(annotations) + 1, video_id=number, category_id=label, iscrowd=0)
            annotations.append(dict(ids, segmentations=masks, **size))
    categories = [dict(id=1, name='square'), dict(id=2, name='ring')]
    content = dict(videos=videos, annotations=annotations, categories=categories)
    (tmp_path / 'gt.json').write_text(json.dumps(content))
    return tmp_path


def test_hidden_for_as_long_as_asked(data):
    options = dict(gap=(7, 9), length=30, seed=3)
    assert hide_objects(data / 'gt.json', data / 'images', data / 'out', **options) == 2
    content = json.loads((data / 'out' / 'valid.json').read_text())
    assert [len(video['file_names']) for video in content['videos']] == [30, 30]
    checked_tracks([], str(data / 'out' / 'valid.json'))
    for video in content['videos']:
        tracks = [a for a in content['annotations'] if a['video_id'] == video['id']]
        # the square can be hidden: it is small and there in all frames; what hides it is a ring
        assert [track['category_id'] for track in tracks] == [1, 2, 2]
        seen = np.array([mask is not None for mask in tracks[0]['segmentations']])
        hidden = np.flatnonzero(~seen)
        assert 7 <= len(hidden) <= 13 and (np.diff(hidden) == 1).all()
        assert seen[:4].all() and seen[-4:].all()
        cover = [mask is not None for mask in tracks[2]['segmentations']]
        assert all(cover[t] for t in hidden) and not all(cover)
        masks = np.array(
            [
                [
                    np.zeros(SIZE, bool) if rle is None else mask_utils.decode(rle).astype(bool)
                    for rle in track['segmentations']
                ]
                for track in tracks
            ]
        )
        assert (masks.sum(0) <= 1).all()  # a pixel shows one object
        frames = [cv2.imread(str(data / 'out' / 'JPEGImages' / n)) for n in video['file_names']]
        for t, frame in enumerate(frames):
            inside = cv2.erode(masks[0, t].astype(np.uint8), np.ones((5, 5))) > 0
            if inside.any():
                assert frame[inside][:, 1].mean() > 150  # green where the square is annotated
            else:
                green = (frame[..., 1].astype(int) > 150) & (frame[..., 2] < 100)
                assert green.sum() < 20 or masks[0, t].any()


def test_the_same_again_and_forth_and_back(data):
    for out in ('one', 'two'):
        hide_objects(data / 'gt.json', data / 'images', data / out, gap=(1, 3), length=25, seed=1)
    names = sorted(p.relative_to(data / 'one') for p in (data / 'one').rglob('*') if p.is_file())
    assert len(names) == 51
    for name in names:
        assert (data / 'one' / name).read_bytes() == (data / 'two' / name).read_bytes()
    # the first frames, before anything comes, are the video's own, and after ten they are again
    first, second = json.loads((data / 'one' / 'valid.json').read_text())['annotations'][:2]
    given = json.loads((data / 'gt.json').read_text())['annotations']
    assert first['segmentations'][:3] == given[0]['segmentations'][:3]
    assert second['segmentations'][0]['size'] == list(SIZE)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(gap=(0, 3)), 'a gap of 0 to 3'),
        (dict(gap=(5, 3)), 'a gap of 5 to 3'),
        (dict(gap=(3, 10), length=25), 'give 26 frames or more'),
    ],
)
def test_numbers_that_do_not_go_together(data, options, message):
    with pytest.raises(InputError, match=message):
        hide_objects(data / 'gt.json', data / 'images', data / 'out', **options)
    assert not (data / 'out').exists()


def test_nobody_can_be_hidden(data):
    """One video alone has nobody from elsewhere; the folder is left as it was."""
    content = json.loads((data / 'gt.json').read_text())
    content['videos'] = content['videos'][:1]
    content['annotations'] = content['annotations'][:2]
    (data / 'gt.json').write_text(json.dumps(content))
    with pytest.raises(InputError, match='another video one to hide it'):
        hide_objects(data / 'gt.json', data / 'images', data / 'out', gap=(1, 3), length=25)
    assert not (data / 'out').exists() or not any((data / 'out').iterdir())
    (data / 'full').mkdir()
    (data / 'full' / 'file').touch()
    with pytest.raises(InputError, match='not empty'):
        hide_objects(data / 'gt.json', data / 'images', data / 'full', gap=(1, 3), length=25)
