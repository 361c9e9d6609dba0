"""Annotated videos become a data set, wholly or not at all."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_utils

import mmvis_cl.datasets.own_videos as own_videos
from mmvis_cl.datasets.frame_files import ImageFrames
from mmvis_cl.datasets.own_videos import (
    AnnotatedTrack,
    AnnotatedVideo,
    Annotations,
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
        with pytest.raises(InputError, match=r'out: the disk is full'):
            write_data_set(out, Annotations([broken], CATEGORIES))
    # the check finds what a reader did wrong
    broken.tracks[0].category_id = 7
    with pytest.raises(InputError, match=rf'1 problems in train\.json.*{out}/train\.json.*7'):
        write_data_set(out, Annotations([broken], CATEGORIES))
    assert [path.name for path in tmp_path.iterdir()] == ['source']


def test_nothing_to_write(tmp_path, video):
    out = tmp_path / 'out'
    with pytest.raises(InputError, match='no video to write'):
        write_data_set(out, Annotations([], CATEGORIES))
    with pytest.raises(InputError, match='no object is seen in any of the 1 videos'):
        write_data_set(out, Annotations([video(masks={})], CATEGORIES))
    out.touch()
    with pytest.raises(InputError, match='is a file'):
        write_data_set(out, Annotations([video()], CATEGORIES))
