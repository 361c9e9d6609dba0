"""Annotated videos become a data set, wholly or not at all."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_utils

import mmvis_cl.datasets.converters.own_videos as own_videos
from mmvis_cl.datasets.converters.frame_files import ImageFrames
from mmvis_cl.datasets.converters.own_videos import (
    AnnotatedTrack,
    AnnotatedVideo,
    Annotations,
    check_out,
    write_data_set,
)
from mmvis_cl.errors import InputError

CATEGORIES = [dict(id=1, name='cat'), dict(id=2, name='dog')]


def rle(rows, columns):
    pixels = np.zeros((20, 30), np.uint8, order='F')
    pixels[rows, columns] = 1
    return mask_utils.encode(pixels)


@pytest.fixture
def video(tmp_path):
    folder = tmp_path / 'source'
    folder.mkdir()
    paths = [folder / f'{t}.png' for t in range(3)]
    for path in paths:
        Image.new('RGB', (30, 20), (90, 30, 200)).save(path)

    def make(name='a', category_id=1, masks=None):
        masks = {0: rle(slice(2, 5), slice(4, 10)), 2: rle(0, 0)} if masks is None else masks
        track = AnnotatedTrack(category_id, masks)
        return AnnotatedVideo(name, (20, 30), ImageFrames(list(paths)), [track])

    return make


def test_what_is_written(tmp_path, video):
    shown = video('my video/1')
    empty = mask_utils.encode(np.zeros((20, 30), np.uint8, order='F'))
    shown.tracks.append(AnnotatedTrack(2, {1: empty}))  # never seen
    shown.tracks.append(AnnotatedTrack(2, {1: rle(5, 6)}, crowd=True))
    seen = []

    def progress(items, what, total):
        seen.append((what, total))
        return items

    out = tmp_path / 'new' / 'data'
    (report,) = write_data_set(
        out, Annotations([shown, video('my video 1')], CATEGORIES), progress=progress
    )
    assert seen == [('frames', 6)]
    assert (report.videos, report.frames, report.tracks, report.masks) == (2, 6, 3, 4)
    assert report.files.ann_file == out / 'train.json' and not report.problems
    content = json.loads((out / 'train.json').read_text())
    assert content['categories'] == CATEGORIES
    assert content['videos'][0] == dict(
        id=1,
        width=30,
        height=20,
        length=3,
        file_names=[f'my_video_1/0000{t}.jpg' for t in range(3)],
    )
    assert content['videos'][1]['file_names'][0] == 'my_video_1_2/00000.jpg'
    first, crowd, _ = content['annotations']
    assert first['bboxes'] == [[4, 2, 6, 3], None, [0, 0, 1, 1]]
    assert first['areas'] == [18, None, 1]
    assert mask_utils.decode(first['segmentations'][0])[2:5, 4:10].all()
    assert first['segmentations'][1] is None
    assert (first['iscrowd'], crowd['iscrowd'], crowd['category_id']) == (0, 1, 2)
    assert sorted(path.name for path in out.iterdir()) == ['JPEGImages', 'train.json']
    assert [path.name for path in out.parent.iterdir()] == ['data']


def test_division_into_training_and_validation(tmp_path, video):
    videos = [video(f'v{i}', 1 + i % 2) for i in range(6)]
    reports = write_data_set(tmp_path / 'out', Annotations(videos, CATEGORIES), val_fraction=0.34)
    assert [(r.files.name, r.videos) for r in reports] == [('train', 4), ('valid', 2)]
    valid = json.loads((tmp_path / 'out' / 'valid.json').read_text())
    assert {track['category_id'] for track in valid['annotations']} == {1, 2}
    assert len(list((tmp_path / 'out' / 'JPEGImages').iterdir())) == 6
    with pytest.raises(InputError, match='1 videos cannot be split'):
        write_data_set(tmp_path / 'one', Annotations(videos[:1], CATEGORIES), val_fraction=0.5)
    assert not (tmp_path / 'one').exists()


def test_a_second_split_is_added(tmp_path, video):
    out = tmp_path / 'out'
    write_data_set(out, Annotations([video('a')], CATEGORIES))
    before = (out / 'train.json').read_bytes()
    write_data_set(out, Annotations([video('b')], CATEGORIES), split='valid')
    assert (out / 'train.json').read_bytes() == before
    assert len(list((out / 'JPEGImages').iterdir())) == 2
    for videos, categories, split, message in (
        ([video('c')], CATEGORIES, 'train', r'train\.json: is there already'),
        ([video('a')], CATEGORIES, 'test', r'JPEGImages.a: is there already'),
        ([video('c')], CATEGORIES[:1], 'test', r'train\.json: has other classes \(cat, dog\)'),
    ):
        with pytest.raises(InputError, match=message):
            write_data_set(out, Annotations(videos, categories), split=split)
    assert not (out / 'test.json').exists() and not (out / 'JPEGImages' / 'c').exists()


def test_nothing_is_left_of_a_failure(tmp_path, video, monkeypatch):
    broken = video()
    broken.frames.paths[2].write_bytes(b'no image')
    out = tmp_path / 'out'
    with pytest.raises(InputError, match=r'2\.png: the image cannot be decoded'):
        write_data_set(out, Annotations([broken], CATEGORIES))
    shutil.copy(broken.frames.paths[0], broken.frames.paths[2])

    def full(*_):
        raise OSError(28, 'No space left on device')

    with monkeypatch.context() as patch:
        patch.setattr(own_videos.json, 'dumps', full)
        with pytest.raises(InputError, match=r'out.train\.json: the disk is full'):
            write_data_set(out, Annotations([broken], CATEGORIES))
    # the check finds what a reader did wrong
    broken.tracks[0].category_id = 7
    with pytest.raises(InputError, match=rf'1 problems in train\.json.*{out}/train\.json.*7'):
        write_data_set(out, Annotations([broken], CATEGORIES))
    assert [path.name for path in tmp_path.iterdir()] == ['source']


def test_nothing_is_left_if_it_cannot_be_moved(tmp_path, video, monkeypatch):
    """All but the last file are at their places already when the disk says no."""
    out = tmp_path / 'out'
    write_data_set(out, Annotations([video('a')], CATEGORIES), split='test')
    before = sorted(path.relative_to(out) for path in out.rglob('*'))
    rename = own_videos.Path.rename

    def refuse(path, target):
        if path.name == 'valid.json':
            raise OSError(5, 'Input/output error')
        return rename(path, target)

    monkeypatch.setattr(own_videos.Path, 'rename', refuse)
    videos = Annotations([video('b'), video('c')], CATEGORIES)
    with pytest.raises(InputError, match=r'out: cannot be written \(Input/output error\)'):
        write_data_set(out, videos, val_fraction=0.5)
    assert sorted(path.relative_to(out) for path in out.rglob('*')) == before


def test_names_of_videos(tmp_path, video):
    """Such as no file system takes, or only one of."""
    names = ['x' * 250, 'x' * 250, 'ä' * 150, 'a:b', 'A:B', '..', '', '\ud800', 'CON/../x']
    write_data_set(tmp_path / 'out', Annotations([video(name) for name in names], CATEGORIES))
    content = json.loads((tmp_path / 'out' / 'train.json').read_text())
    made = [entry['file_names'][0].split('/')[0] for entry in content['videos']]
    x = 'x' * 200
    assert made == [
        x, f'{x}_2', 'ä' * 100, 'a_b', 'A_B_2', 'video', 'video_2', 'video_3', 'CON_.._x'
    ]  # fmt: skip


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        (['cat', 'cat'], "'cat': is the name of two classes"),
        (['cat', ' '], "' ': is no name of a class"),
        (['cat', 'a\nb'], 'is no name of a class'),
        (['cat', '\ud83d'], 'is no name of a class'),
        (['cat', 5], '5: is no name of a class'),
    ],
)
def test_names_of_classes(tmp_path, video, names, message):
    categories = [dict(id=i, name=name) for i, name in enumerate(names, 1)]
    with pytest.raises(InputError, match=message):
        write_data_set(tmp_path / 'out', Annotations([video()], categories))


def test_places_that_cannot_be_written_to(tmp_path, video, monkeypatch):
    """Known before anything is read."""
    check_out(tmp_path / 'a' / 'b' / 'c', ['train'])
    assert list(tmp_path.iterdir()) == [tmp_path / 'source'] or not list(tmp_path.iterdir())
    (tmp_path / 'file').touch()
    (tmp_path / 'there').mkdir()
    (tmp_path / 'there' / 'valid.json').touch()
    for path, message in (
        ('file', 'is a file; name another'),
        ('file/below', 'cannot be written'),
        ('x' * 300, 'is too long for the file system'),
        ('null\0byte', 'is no name of a folder'),
        ('there', r'there.valid\.json: is there already'),
    ):
        with pytest.raises(InputError, match=message):
            check_out(tmp_path / path, ['train', 'valid'])

    def refuse(*_, **__):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(own_videos.tempfile, 'mkdtemp', refuse)
    with pytest.raises(InputError, match=r'new: cannot be written \(Permission denied\)'):
        check_out(tmp_path / 'new', ['train'])


def test_a_disk_that_is_too_small(tmp_path, video, monkeypatch):
    shown = video()
    for path in shown.frames.paths:
        Image.new('RGB', (30, 20)).save(path.with_suffix('.jpg'))
    shown.frames.paths[:] = [path.with_suffix('.jpg') for path in shown.frames.paths]
    needed = sum(path.stat().st_size for path in shown.frames.paths)
    for free, fits in ((needed, True), (needed - 1, False)):
        monkeypatch.setattr(shutil, 'disk_usage', lambda _, free=free: SimpleNamespace(free=free))
        out = tmp_path / f'out{fits}'
        if fits:
            write_data_set(out, Annotations([shown], CATEGORIES))
        else:
            with pytest.raises(InputError, match=r'the frames take 0\.0 GiB'):
                write_data_set(out, Annotations([shown], CATEGORIES))


def test_nothing_to_write(tmp_path, video):
    out = tmp_path / 'out'
    with pytest.raises(InputError, match='no video to write'):
        write_data_set(out, Annotations([], CATEGORIES))
    with pytest.raises(InputError, match='no object is seen in any of the 1 videos'):
        write_data_set(out, Annotations([video(masks={})], CATEGORIES))
    out.touch()
    with pytest.raises(InputError, match='is a file'):
        write_data_set(out, Annotations([video()], CATEGORIES))
