"""Text files of MOTS, read as trackeval reads them."""

import importlib.util
import re

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_utils

from mmvis_cl.datasets.converters.mots_text import read_mots_text
from mmvis_cl.datasets.converters.object_classes import MOTSClasses
from mmvis_cl.errors import InputError

SIZE = 12, 20


def rle(left, right):
    mask = np.zeros(SIZE, np.uint8, order='F')
    mask[2:9, left:right] = 1
    return mask_utils.encode(mask)['counts'].decode()


def line(frame, instance, label, left, right):
    return f'{frame} {instance} {label} 12 20 {rle(left, right)}'


LINES = [
    line(1, 2001, 2, 0, 4),
    line(1, 1001, 1, 5, 9),
    line(2, 2001, 2, 1, 5),
    line(3, 2007, 2, 1, 5),
    line(3, 10000, 10, 15, 20),
]


@pytest.fixture
def data(tmp_path):
    """Three frames as MOTS20 has them: numbered from 1, in img1."""
    images = tmp_path / 'images' / '0002' / 'img1'
    images.mkdir(parents=True)
    for frame in (1, 2, 3):
        Image.new('RGB', SIZE[::-1], (frame, 0, 0)).save(images / f'{frame:06d}.png')
    texts = tmp_path / 'texts'
    texts.mkdir()
    (texts / '0002.txt').write_text('\n'.join(LINES) + '\n')
    return tmp_path


def read(data, **options):
    return read_mots_text(data / 'texts', data / 'images', **options)


def test_objects_and_frames(data):
    annotations = read(data)
    assert [c['name'] for c in annotations.categories] == ['car', 'pedestrian']
    (video,) = annotations.videos
    assert (video.name, video.size, len(video.frames)) == ('0002', SIZE, 3)
    tracks = [(track.category_id, sorted(track.masks), track.crowd) for track in video.tracks]
    assert tracks == [(1, [0], False), (2, [0, 1], False), (2, [2], False)]
    left = mask_utils.decode(video.tracks[1].masks[1])
    assert left.sum() == 7 * 4 and left[2:9, 1:5].all()


def test_ignored_regions_become_crowds(data):
    (video,) = read(data, classes=MOTSClasses(ignored_as_crowd=True)).videos
    crowds = [(track.category_id, sorted(track.masks)) for track in video.tracks if track.crowd]
    assert crowds == [(1, [2]), (2, [2])]


@pytest.mark.skipif(importlib.util.find_spec('trackeval') is None, reason='needs trackeval')
def test_the_areas_are_those_that_trackeval_reads(data):
    from trackeval.datasets._base_dataset import _BaseDataset

    read_data, _ = _BaseDataset._load_simple_text_file(
        str(data / 'texts' / '0002.txt'), is_zipped=False, convert_filter={}
    )
    theirs = {
        (int(frame) - 1, int(row[1])): int(mask_utils.area(dict(size=SIZE, counts=row[5].encode())))
        for frame, rows in read_data.items()
        for row in rows
    }
    (video,) = read(data).videos
    ours = sorted(
        (frame, int(mask_utils.area(rle)))
        for track in video.tracks
        for frame, rle in track.masks.items()
    )
    assert ours == sorted((frame, area) for (frame, name), area in theirs.items() if name != 10000)


@pytest.mark.parametrize(
    'wrong, said',
    [
        ('1 2001 2 12 20', '0002.txt:6: .* is not "frame object class height width RLE"'),
        (line(9, 2001, 2, 0, 4), 'there is no image of frame 9'),
        (line(2, 2001, 2, 0, 4), 'object 2001 has two masks in frame 2'),
        (line(2, 3001, 3, 0, 4), r'has the class 3, known are 1 to 2 \(car, pedestrian\)'),
        (line(2, 2009, 2, 0, 4).replace(' 12 20 ', ' 12 21 '), 'the size is 12x21'),
        ('2 2009 2 12 20 zz', '0002.txt:6'),
    ],
)
def test_broken_lines(data, wrong, said):
    (data / 'texts' / '0002.txt').write_text('\n'.join([*LINES, wrong]))
    with pytest.raises(InputError, match=said) as caught:
        read(data)
    assert '\n' not in str(caught.value)


def test_what_is_missing(data):
    with pytest.raises(InputError, match=re.escape(f'{data / "nothing"}: there is no such')):
        read_mots_text(data / 'nothing', data / 'images')
    with pytest.raises(InputError, match=r'has no 0003\.txt'):
        read(data, videos=['0003'])
    with pytest.raises(InputError, match='folder of the images is missing'):
        read_mots_text(data / 'texts', data / 'texts')
    (data / 'images' / '0002' / 'img1' / 'cover.png').write_bytes(b'')
    with pytest.raises(InputError, match=r'cover\.png: is no number of a frame'):
        read(data)
