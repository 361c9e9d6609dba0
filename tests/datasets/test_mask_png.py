"""Masks as indexed PNGs."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_utils

from mmvis_cl.datasets.mask_png import (
    ObjectClasses,
    folder_of_videos,
    read_mask_pngs,
    read_object_classes,
)
from mmvis_cl.errors import InputError


def values(t):
    """Object 1: three pixels and one more a frame. 3: in frame 1 only. Void at the right."""
    array = np.zeros((20, 30), np.uint8)
    array[4, 2 : 5 + t] = 1
    if t == 1:
        array[10:12, 8:12] = 3
    array[:, 28:] = 255
    return array


def save(path, array, palette=True):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    if palette:
        image.putpalette(list(range(256)) * 3)
    image.save(path)


@pytest.fixture
def tree(tmp_path):
    for video, length in (('b10', 1), ('b9', 3)):
        for t in range(length):
            save(tmp_path / 'Annotations' / video / f'{t:05d}.png', values(t))
            path = tmp_path / 'JPEGImages' / video / f'{t:05d}.jpg'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new('RGB', (30, 20)).save(path)
    return tmp_path


@pytest.fixture
def read(tree):
    def read(classes=None, **options):
        return read_mask_pngs(tree / 'JPEGImages', tree / 'Annotations', classes, **options)

    return read


def test_objects_of_one_class(read):
    annotations = read()
    assert annotations.categories == [dict(id=1, name='object')] and annotations.notes == []
    first, second = annotations.videos
    assert (first.name, second.name) == ('b9', 'b10')  # 9 before 10
    assert first.size == (20, 30) and len(first.frames) == 3
    one, three = first.tracks
    assert {t: int(mask_utils.area(mask)) for t, mask in one.masks.items()} == {0: 3, 1: 4, 2: 5}
    assert {t: mask_utils.toBbox(m).tolist() for t, m in three.masks.items()} == {1: [8, 10, 4, 2]}
    assert np.array_equal(mask_utils.decode(one.masks[2]), values(2) == 1)
    assert [track.category_id for track in second.tracks] == [1]
    assert [video.name for video in read(videos=['b10']).videos] == ['b10']


def test_void_can_be_an_object(read):
    tracks = read(void=None).videos[0].tracks
    assert len(tracks) == 3 and mask_utils.area(tracks[2].masks[0]) == 40


def test_more_than_255_objects(read, tree):
    """16-bit frames among others; there 255 is an object, see palette_png_output.py."""
    array = np.zeros((20, 30), np.uint16)
    array[0, :2], array[1, :3], array[2, :4] = 1, 255, 300
    save(tree / 'Annotations' / 'b10' / '00000.png', array, palette=False)
    tracks = read(videos=['b10']).videos[0].tracks
    assert [int(mask_utils.area(track.masks[0])) for track in tracks] == [2, 3, 4]


def test_grey_masks_of_one_object(read, tree):
    for t in range(3):
        array = np.where(values(t) == 1, 255, 0).astype(np.uint8)
        save(tree / 'Annotations' / 'b9' / f'{t:05d}.png', array, palette=False)
    with pytest.raises(InputError, match=r'grey with the values 0 and 255 only.*--binary'):
        read()
    (track,) = read(binary=True).videos[0].tracks
    assert [int(mask_utils.area(track.masks[t])) for t in range(3)] == [3, 4, 5]


def test_images_without_a_png(read, tree):
    (tree / 'Annotations' / 'b9' / '00001.png').unlink()
    with pytest.raises(InputError, match=r'00001\.jpg: has no mask .*--drop-unlabelled'):
        read()
    annotations = read(drop_unlabelled=True)
    video = annotations.videos[0]
    assert [path.stem for path in video.frames.paths] == ['00000', '00002']
    assert list(video.tracks[0].masks) == [0, 1] and len(video.tracks) == 1
    assert annotations.notes == ['1 images without a PNG were left out']


@pytest.mark.parametrize(
    ('name', 'text'),
    [
        ('a.csv', 'video,object,class\nb9,1,cat\nb9,3,dog\nb10,1,dog\n'),
        ('a.csv', '\ufeffvideo, object, class\n"b9", 1, cat\nb9, 3, dog\nb10, 1, dog\n'),
        ('a.json', json.dumps(dict(b9={'1': 'cat', '3': 'dog'}, b10={'1': 'dog'}))),
        (
            'meta.json',
            json.dumps(
                dict(
                    videos=dict(
                        b9=dict(objects={'1': dict(category='cat'), '3': dict(category='dog')}),
                        b10=dict(objects={'1': dict(category='dog', frames=['00000'])}),
                    )
                )
            ),
        ),
    ],
)
def test_classes_of_the_objects(read, tmp_path, name, text):
    (tmp_path / name).write_text(text)
    annotations = read(read_object_classes(tmp_path / name))
    assert annotations.categories == [dict(id=1, name='cat'), dict(id=2, name='dog')]
    found = [[track.category_id for track in video.tracks] for video in annotations.videos]
    assert found == [[1, 2], [2]]


@pytest.mark.parametrize(
    ('name', 'text'),
    [('a.csv', 'object,class\n1,cat\n3,dog\n'), ('a.json', '{"1": "cat", "3": "dog"}')],
)
def test_classes_that_hold_for_all_videos(read, tmp_path, name, text):
    (tmp_path / name).write_text(text)
    annotations = read(read_object_classes(tmp_path / name))
    found = [[track.category_id for track in video.tracks] for video in annotations.videos]
    assert found == [[1, 2], [1]]


@pytest.mark.parametrize(
    ('name', 'text'),
    [
        ('a.csv', 'video,number,class\nb9,1,cat\n'),
        ('a.csv', 'video,object,class\nb9,one,cat\n'),
        ('a.csv', 'video,object,class\nb9,1\n'),
        ('a.csv', 'video,object,class\n'),
        ('a.json', '{"b9": 3}'),
        ('a.json', '[1]'),
        ('a.json', '{"b9": {"1": {"name": "cat"}}}'),
        ('a.json', '{'),
    ],
)
def test_broken_lists_of_classes(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match='does not say which object is of which class'):
        read_object_classes(tmp_path / name)


def test_absent_list_of_classes(tmp_path):
    with pytest.raises(InputError, match='cannot be read'):
        read_object_classes(tmp_path / 'absent.csv')


def test_what_does_not_fit(read, tree):
    with pytest.raises(InputError, match=r"00001\.png: object 3 of video 'b9' has no class; add"):
        read(ObjectClasses({('b9', 1): 'cat', ('b10', 1): 'cat'}, default=None))
    with pytest.raises(InputError, match='b11: the folder of the video is missing'):
        read(videos=['b11'])
    png = tree / 'Annotations' / 'b9' / '00002.png'
    for array, message in (
        (np.zeros((20, 31), np.uint8), r'00002\.png: is 31x20 .* before are 30x20; all'),
        (np.zeros((20, 30, 3), np.uint8), r'00002\.png: is a colour image \(RGB\)'),
    ):
        save(png, array, palette=False)
        with pytest.raises(InputError, match=message):
            read()
    png.write_bytes(png.read_bytes()[:40])
    with pytest.raises(InputError, match=r'00002\.png: cannot be decoded'):
        read()
    png.rename(png.with_name('00003.png'))
    with pytest.raises(InputError, match=r'00003\.png: there is no image of this name'):
        read()
    for path in png.parent.iterdir():
        path.unlink()
    with pytest.raises(InputError, match='b9: has no PNG; put'):
        read()


def test_folders_that_are_missing(tmp_path, tree):
    with pytest.raises(InputError, match='absent: there is no such folder'):
        read_mask_pngs(tree / 'JPEGImages', tmp_path / 'absent')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(InputError, match='has no folder of PNGs'):
        read_mask_pngs(tree / 'JPEGImages', tmp_path / 'empty')


def test_the_folder_of_the_resolution(tmp_path, tree):
    assert folder_of_videos(tree / 'JPEGImages') == tree / 'JPEGImages'
    davis = tmp_path / 'davis'
    davis.mkdir()
    (tree / 'JPEGImages').rename(davis / '480p')
    assert folder_of_videos(davis) == davis / '480p'
    (davis / 'Full-Resolution' / 'b9').mkdir(parents=True)
    with pytest.raises(InputError, match=r'480p; choose one|480p, Full-Resolution; choose one'):
        folder_of_videos(davis)
