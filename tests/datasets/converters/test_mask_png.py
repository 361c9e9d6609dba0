"""Masks as indexed PNGs."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_utils

from mmvis_cl.datasets.converters.mask_png import folder_of_videos, read_mask_pngs
from mmvis_cl.datasets.converters.object_classes import (
    MOTSClasses,
    ObjectClasses,
    read_labels,
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


@pytest.fixture
def mots(tmp_path):
    """Two frames with a car (5), a pedestrian (1) and an ignore region; then one without a car."""
    for t in range(3):
        array = np.zeros((20, 30), np.uint16)
        if t < 2:
            array[2:5, t : 4 + t] = 1005
        array[10:16, 6:10] = 2001
        array[0, 20:30] = 10000
        save(tmp_path / 'instances' / '0002' / f'{t:06d}.png', array, palette=False)
        path = tmp_path / 'images' / '0002' / f'{t:06d}.jpg'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (30, 20)).save(path)
    return tmp_path


def test_mots(mots):
    folders = mots / 'images', mots / 'instances'
    annotations = read_mask_pngs(*folders, MOTSClasses())
    assert [c['name'] for c in annotations.categories] == ['car', 'pedestrian']
    found = [
        (track.category_id, track.crowd, {t: int(mask_utils.area(m)) for t, m in masks.items()})
        for track in annotations.videos[0].tracks
        for masks in [track.masks]
    ]
    assert found == [(1, False, {0: 12, 1: 12}), (2, False, {0: 24, 1: 24, 2: 24})]
    assert annotations.notes == [
        'ignore regions (10000) in 3 frames were left out; as crowds, which scores ignore: '
        '--ignore-regions crowd'
    ]
    annotations = read_mask_pngs(*folders, MOTSClasses(('a', 'b'), ignored_as_crowd=True))
    crowds = [track for track in annotations.videos[0].tracks if track.crowd]
    assert [track.category_id for track in crowds] == [1, 2]
    assert [int(mask_utils.area(m)) for track in crowds for m in track.masks.values()] == [10] * 6


def test_other_classes_in_values(mots):
    folders = mots / 'images', mots / 'instances'
    with pytest.raises(InputError, match=r"object 2001 of video '0002' has no class; .*LABELS"):
        read_mask_pngs(*folders, MOTSClasses(['car']))
    # class 10, not the ignore region, where there is none; class 201 of 10
    tracks = read_mask_pngs(*folders, MOTSClasses([*'abcdefghij'], ignored=None)).videos[0].tracks
    assert [track.category_id for track in tracks] == [1, 2, 10]
    with pytest.raises(InputError, match=r'object 2001 .* has no class'):
        read_mask_pngs(*folders, MOTSClasses([*'abcdefghij'], factor=10, ignored=1005))


def test_values_that_hold_classes_are_not_taken_for_objects(mots, tmp_path):
    folders = mots / 'images', mots / 'instances'
    with pytest.raises(InputError, match=r'1000 or more \(1005, 2001, 10000\), as .*; give --mots'):
        read_mask_pngs(*folders)
    # numbers of objects and no more: somebody says so, or gives them classes
    assert len(read_mask_pngs(*folders, ObjectClasses(plain=True)).videos[0].tracks) == 3
    (tmp_path / 'c.csv').write_text('object,class\n1005,cat\n2001,cat\n10000,dog\n')
    classes = read_object_classes(tmp_path / 'c.csv')
    tracks = read_mask_pngs(*folders, classes).videos[0].tracks
    assert [track.category_id for track in tracks] == [1, 1, 2]
    # another object has a small number
    array = np.zeros((20, 30), np.uint16)
    array[0, 0], array[1, 1] = 7, 1005
    save(mots / 'instances' / '0002' / '000000.png', array, palette=False)
    assert len(read_mask_pngs(*folders).videos[0].tracks) == 4


def test_one_video_without_a_folder_of_its_own(mots):
    """As CVAT exports MOTS."""
    images, masks = mots / 'images' / '0002', mots / 'instances' / '0002'
    (masks / 'labels.txt').write_text('cat\n\ndog\n')
    assert read_labels(masks / 'labels.txt') == ['cat', 'dog']
    (video,) = read_mask_pngs(images, masks, MOTSClasses(['cat', 'dog'])).videos
    assert video.name == 'instances' and len(video.tracks) == 2 and len(video.frames) == 3


@pytest.mark.parametrize(
    ('text', 'message'), [(b'', 'is empty'), (b'a\nb\na', "'a' twice"), (b'\xff', 'is no text')]
)
def test_broken_labels(tmp_path, text, message):
    (tmp_path / 'l.txt').write_bytes(text)
    with pytest.raises(InputError, match=message):
        read_labels(tmp_path / 'l.txt')


@pytest.fixture
def objects(tree):
    """A folder for each object: 000 grows, 001 is seen in frame 1 only, and lies upon 000."""
    for t in range(3):
        (tree / 'Annotations' / 'b9' / f'{t:05d}.png').unlink()
        first = np.zeros((20, 30), bool)
        first[4, 2 : 5 + t] = True
        Image.fromarray(first).save(_made(tree / 'Annotations' / 'b9' / '000') / f'{t:05d}.png')
    second = np.zeros((20, 30), np.uint8)
    second[3:6, 2:4] = 255
    save(tree / 'Annotations' / 'b9' / '001' / '00001.png', second, palette=False)
    _made(tree / 'Annotations' / 'b9' / '.ipynb_checkpoints')
    return tree / 'Annotations' / 'b9'


def _made(folder):
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_a_folder_for_each_object(read, objects, tree):
    """As SAM 2 writes it, and as SA-V is."""
    annotations = read(ObjectClasses({('b9', 0): 'cat', ('b9', 1): 'dog'}), videos=['b9'])
    assert [c['name'] for c in annotations.categories] == ['cat', 'dog', 'object']
    tracks = annotations.videos[0].tracks
    areas = [{t: int(mask_utils.area(m)) for t, m in track.masks.items()} for track in tracks]
    assert areas == [{0: 3, 1: 4, 2: 5}, {1: 6}]
    assert [track.category_id for track in tracks] == [1, 2]
    assert folder_of_videos(tree / 'Annotations', ['b9', 'b10']) == tree / 'Annotations'
    # names that are no numbers
    for name, new in (('000', 'left'), ('001', 'right')):
        (objects / name).rename(objects / new)
    tracks = (
        read(ObjectClasses({('b9', 1): 'cat', ('b9', 2): 'dog'}), videos=['b9']).videos[0].tracks
    )
    assert [sorted(track.masks) for track in tracks] == [[0, 1, 2], [1]]


def test_what_does_not_fit_in_folders_of_objects(read, objects):
    for path in objects.glob('000/00002.png'):
        path.unlink()
    with pytest.raises(InputError, match=r'00002\.jpg: has no mask .*--drop-unlabelled'):
        read(videos=['b9'])
    assert len(read(videos=['b9'], drop_unlabelled=True).videos[0].frames) == 2
    array = np.zeros((20, 30), np.uint8)
    array[0, :2], array[1, :3] = 1, 2
    save(objects / '001' / '00002.png', array)
    with pytest.raises(InputError, match=r'00002\.png: is in the folder of one object .* 1, 2;'):
        read(videos=['b9'])
    assert mask_utils.area(read(videos=['b9'], binary=True).videos[0].tracks[1].masks[2]) == 5
    (objects / '1').mkdir()
    with pytest.raises(InputError, match='has the same number as'):
        read(videos=['b9'])


def test_hidden_files_are_no_frames(read, tree):
    for kind, name in (('Annotations', '._00000.png'), ('JPEGImages', '._00000.jpg')):
        (tree / kind / 'b9' / name).write_bytes(b'resource fork')
        (tree / kind / '.ipynb_checkpoints').mkdir()
        (tree / kind / '.DS_Store').touch()
    assert [len(video.frames) for video in read().videos] == [3, 1]


def test_videos_outside_of_the_tree(read):
    for name in ('../b9', '/etc'):
        with pytest.raises(InputError, match='is no name of a folder'):
            read(videos=[name])
    with pytest.raises(InputError, match='the folder of the video is missing'):
        read(videos=['x' * 300])


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
        ('a.csv', 'video,object,class\nb9,1,cat\nb9,1,dog\n'),
        ('a.csv', f'video,object,class\nb9,1,{"x" * 3_000_000}\n'),
        ('a.json', '{"b9": 3}'),
        ('a.json', '[1]'),
        ('a.json', '{"b9": {"1": {"name": "cat"}}}'),
    ],
)
def test_broken_lists_of_classes(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match='does not say which object is of which class'):
        read_object_classes(tmp_path / name)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{', 'not valid JSON'),
        ('{"b9": {"1": "cat", "1": "dog"}}', "the key '1' twice"),
        ('{"b9": {"1": "\\ud800"}}', 'half a character'),
        pytest.param('{"b9":' * 100_000, 'too deeply', id='nested'),
    ],
)
def test_lists_of_classes_that_are_no_json(tmp_path, text, message):
    (tmp_path / 'a.json').write_text(text)
    with pytest.raises(InputError, match=message):
        read_object_classes(tmp_path / 'a.json')


def test_absent_list_of_classes(tmp_path):
    with pytest.raises(InputError, match='no such file'):
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
    with pytest.raises(InputError, match=r'00002\.png: the image cannot be decoded'):
        read()
    png.rename(png.with_name('00003.png'))
    with pytest.raises(InputError, match=r'00003\.png: there is no image of this name'):
        read()
    for path in png.parent.iterdir():
        path.unlink()
    with pytest.raises(InputError, match='b9: has no PNG; put'):
        read()


def test_masks_of_another_size_than_the_images(read, tree):
    for path in (tree / 'JPEGImages' / 'b9').iterdir():
        Image.new('RGB', (60, 40)).save(path)
    with pytest.raises(InputError, match=r'00000\.jpg: is 60x40 .* are for 30x20; give'):
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
