"""Pseudo-labels: the results of many videos, with the frames that they are of."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from mmvis_cl.datasets.converters.own_videos import write_data_set
from mmvis_cl.datasets.converters.tracked_folder import read_tracked_folder
from mmvis_cl.errors import InputError
from mmvis_cl.structures import encode_masks

CATEGORIES = [dict(id=1, name='cat'), dict(id=4, name='dog')]


def frame(number):
    """A picture that says which one it is."""
    return np.full((20, 30, 3), 10 + 20 * number, np.uint8)


def add(root, id, source, numbers, score=0.9, categories=CATEGORIES):
    """Results of a video as track-all writes them; an object moves by a pixel a frame."""
    folder = root / 'out' / 'videos' / f'{id}'.replace('/', '_')
    folder.mkdir(parents=True)
    (folder / 'record.json').write_text(json.dumps(dict(id=id, source=str(source))))
    images = [
        dict(id=i, video_id=id, frame_id=i - 1, source_frame=number, height=20, width=30,
             file_name=f'x/{number:05}.jpg')
        for i, number in enumerate(numbers, 1)
    ]  # fmt: skip
    annotations = []
    for i in range(1, len(numbers) + 1):
        mask = np.zeros((1, 20, 30), bool)
        mask[0, 5:10, i : i + 6] = True
        annotations.append(
            dict(id=i, image_id=i, track_id=3, category_id=4, score=score,
                 segmentation=encode_masks(mask)[0])
        )  # fmt: skip
    content = dict(videos=[dict(id=id, name='x')], images=images, annotations=annotations)
    (folder / 'coco.json').write_text(json.dumps(content | dict(categories=categories)))


@pytest.fixture
def root(tmp_path):
    """A folder of images as a video, of which frames 2 to 4 were tracked."""
    folder = tmp_path / 'in' / 'a'
    folder.mkdir(parents=True)
    for number in range(6):
        Image.fromarray(frame(number)).save(folder / f'{number:05}.png')
    add(tmp_path, 'in/a', folder, [2, 3, 4])
    return tmp_path


def converted(root, **options):
    """The data set's annotations, and the grey of each frame of each video."""
    write_data_set(root / 'data', read_tracked_folder(root / 'out', **options))
    content = json.loads((root / 'data' / 'train.json').read_text())
    greys = [
        [
            np.asarray(Image.open(root / 'data' / 'JPEGImages' / name)).mean()
            for name in v['file_names']
        ]
        for v in content['videos']
    ]
    return content, greys


def test_tracks_and_their_frames(root):
    content, greys = converted(root)
    (video,), (track,) = content['videos'], content['annotations']
    assert video['length'] == 3 and content['categories'] == CATEGORIES
    assert greys[0] == pytest.approx([50, 70, 90], abs=2)
    assert track['category_id'] == 4
    assert [box[0] for box in track['bboxes']] == [1, 2, 3] and track['areas'] == [30] * 3


def test_weak_tracks_and_failed_videos_are_left_out(root):
    add(root, 'weak', root / 'in' / 'a', [0, 1], score=0.3)
    failed = root / 'out' / 'videos' / 'failed'
    failed.mkdir()
    (failed / 'record.json').write_text(json.dumps(dict(id='f', source='/none')))
    found = read_tracked_folder(root / 'out', min_score=0.5)
    assert [video.name for video in found.videos] == ['in/a']
    assert found.notes == [
        '1 videos have no coco.json: they failed',
        '1 videos without an object were left out',
    ]


def test_frames_of_an_annotation_file(root):
    """They are the images that it names, whatever else is in the folder, in its order."""
    names = [f'a/{number:05}.png' for number in (5, 0, 3)]
    video = dict(id=8, width=30, height=20, length=3, file_names=names)
    (root / 'gt.json').write_text(json.dumps(dict(videos=[video], categories=CATEGORIES)))
    shutil.rmtree(root / 'out')
    add(root, '8', root / 'in', [0, 1, 2])
    _, greys = converted(root, annotations=root / 'gt.json')
    assert greys[0] == pytest.approx([110, 10, 70], abs=2)
    shutil.rmtree(root / 'out')
    add(root, '8', root / 'in', [0, 7])
    with pytest.raises(InputError, match='source_frame 7, the source has 3 frames'):
        read_tracked_folder(root / 'out', annotations=root / 'gt.json')


def test_videos_that_were_moved(root):
    (root / 'in').rename(root / 'moved')
    with pytest.raises(InputError, match=r'the video is not there .*--frames'):
        read_tracked_folder(root / 'out')
    shutil.copytree(root / 'moved', root / 'again' / 'in')
    assert len(read_tracked_folder(root / 'out', frames=root / 'again').videos) == 1


def test_other_classes_and_other_folders_are_refused(root):
    add(root, 'z', root / 'in' / 'a', [0], categories=CATEGORIES[1:])
    with pytest.raises(InputError, match='has other classes than the videos before'):
        read_tracked_folder(root / 'out')
    with pytest.raises(InputError, match=r'has no videos/NAME/coco\.json'):
        read_tracked_folder(root / 'in')
