"""COCO-video files, among them those that the command line writes."""

import json
import zipfile

import numpy as np
import pytest
from broken_rle import broken_counts, only_whole_masks_reach_pycocotools
from PIL import Image
from pycocotools import mask as mask_utils
from small_videos import write_video

from mmvis_cl.datasets.converters.coco_video import read_coco_video
from mmvis_cl.datasets.converters.frame_files import ImageFrames, VideoFrames
from mmvis_cl.datasets.converters.own_videos import write_data_set
from mmvis_cl.errors import InputError
from mmvis_cl.outputs import COCOVideoOutput
from mmvis_cl.structures.frame_result import FrameResult

BROKEN = broken_counts(20, 30)


def rle(rows, columns):
    pixels = np.zeros((20, 30), np.uint8, order='F')
    pixels[rows, columns] = 1
    counts = mask_utils.encode(pixels)['counts'].decode()
    return dict(size=[20, 30], counts=counts)


@pytest.fixture
def content(tmp_path):
    """Two frames, given in the wrong order; a square that moves, a polygon in the second frame."""
    (tmp_path / 'v').mkdir()
    for name in ('x.png', 'y.png'):
        Image.new('RGB', (30, 20)).save(tmp_path / 'v' / name)
    image = dict(video_id=3, height=20, width=30)
    square = dict(category_id=5, track_id=70)
    return dict(
        videos=[dict(id=3, name='v')],
        images=[
            dict(id=11, file_name='v/y.png', frame_id=4, **image),
            dict(id=10, file_name='v/x.png', frame_id=2, **image),
        ],
        annotations=[
            dict(id=1, image_id=11, segmentation=rle(slice(2, 5), slice(8, 11)), **square),
            dict(id=2, image_id=10, segmentation=rle(slice(2, 5), slice(4, 7)), **square),
            dict(
                id=3,
                image_id=11,
                category_id=2,
                instance_id=71,  # as MMTracking calls it
                segmentation=[[1, 1, 5, 1, 5, 4, 1, 4]],
                iscrowd=0,
            ),
        ],
        categories=[dict(id=5, name='cat', supercategory='pet'), dict(id=2, name='dog')],
    )


@pytest.fixture
def read(tmp_path, content):
    """Reads ``content``, as the test has changed it."""

    def read(frames=tmp_path, **options):
        (tmp_path / 'a.json').write_text(json.dumps(content))
        return read_coco_video(tmp_path / 'a.json', frames, **options)

    return read


def test_tracks_of_a_file(read):
    annotations = read()
    assert annotations.categories == [dict(id=5, name='cat'), dict(id=2, name='dog')]
    (video,) = annotations.videos
    assert (video.name, video.size) == ('v', (20, 30))
    assert [path.name for path in video.frames.paths] == ['x.png', 'y.png']
    cat, dog = video.tracks
    assert (cat.category_id, dog.category_id) == (5, 2)
    boxes = {i: mask_utils.toBbox(mask).tolist() for i, mask in cat.masks.items()}
    assert boxes == {0: [4, 2, 3, 3], 1: [8, 2, 3, 3]}
    assert list(dog.masks) == [1] and mask_utils.decode(dog.masks[1])[1:4, 1:5].sum() == 12


def test_round_trip_of_results(tmp_path):
    """What the command line writes, read and written as YouTube-VIS, has the same masks."""
    masks = {  # (identity, frame): mask; 9 comes and goes, 4 changes its class
        (9, 0): rle(slice(0, 4), slice(0, 6)),
        (4, 0): rle(slice(10, 15), slice(3, 9)),
        (4, 1): rle(slice(10, 15), slice(5, 11)),
        (9, 2): rle(slice(1, 5), slice(2, 8)),
        (4, 2): rle(slice(10, 15), slice(7, 13)),
    }
    labels = {0: {9: 0, 4: 2}, 1: {4: 1}, 2: {9: 0, 4: 1}}
    with COCOVideoOutput(tmp_path / 'out.json', ['a', 'b', 'c'], 'clip', 10.0) as output:
        for t in range(3):
            ids = [identity for identity, frame in masks if frame == t]
            rles = [masks[identity, t] for identity in ids]
            boxes = mask_utils.toBbox(rles)
            output.write(
                FrameResult(
                    index=t + 5,  # --start 5
                    time=0.1 * t,
                    image=np.zeros((20, 30, 3), np.uint8),
                    identities=np.array(ids),
                    labels=np.array([labels[t][i] for i in ids]),
                    classes=['x'] * len(ids),
                    scores=np.full(len(ids), 0.6, np.float32),
                    bboxes=np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1),
                    rles=rles,
                )
            )
    video_file = write_video(tmp_path / 'clip.mp4', size=(20, 30))
    annotations = read_coco_video(tmp_path / 'out.json', video_file)
    (video,) = annotations.videos
    assert isinstance(video.frames, VideoFrames) and video.frames.numbers == [5, 6, 7]
    assert annotations.notes == [
        '1 tracks change their class; the one with the highest sum of scores was taken'
    ]
    write_data_set(tmp_path / 'vis', annotations)
    written = json.loads((tmp_path / 'vis' / 'train.json').read_text())
    assert [c['name'] for c in written['categories']] == ['a', 'b', 'c']
    tracks = {track['category_id']: track['segmentations'] for track in written['annotations']}
    assert tracks[1] == [masks[9, 0], None, masks[9, 2]]
    assert tracks[2] == [masks[4, t] for t in range(3)]
    weak = read_coco_video(tmp_path / 'out.json', video_file, min_score=0.7)
    assert weak.videos[0].tracks == [] and '2 tracks with a mean score below 0.7' in weak.notes[0]


def test_frames_by_the_name_of_the_video(read, tmp_path, content):
    for image in content['images']:
        image['file_name'] = 'v/' + f'{image["frame_id"]:05d}.jpg'
    root = tmp_path / 'videos'
    (root / 'v').mkdir(parents=True)
    for t in range(6):
        Image.new('RGB', (30, 20)).save(root / 'v' / f'img{t}.png')
    (video,) = read(frames=root).videos
    assert isinstance(video.frames, ImageFrames)
    assert [path.name for path in video.frames.paths] == ['img2.png', 'img4.png']
    with pytest.raises(InputError, match=r'absent.v.00002\.jpg: there is no such image, nor anoth'):
        read(frames=tmp_path / 'absent')


def test_one_image_is_missing(read, tmp_path):
    (tmp_path / 'v' / 'x.png').unlink()
    with pytest.raises(InputError, match=r"x\.png: the image is missing \(1 of the 2 of 'v'\)"):
        read()


@pytest.mark.parametrize(('boxes', 'areas'), [('fill', [6, 9]), ('skip', [9])])
def test_boxes(read, content, boxes, areas):
    content['annotations'][1] |= dict(segmentation=[], bbox=[1, 1, 3, 2])
    annotations = read(boxes=boxes)
    track = annotations.videos[0].tracks[0]
    assert [int(mask_utils.area(mask)) for _, mask in sorted(track.masks.items())] == areas
    assert annotations.notes[0].startswith('1 boxes were')
    with pytest.raises(InputError, match='annotation 2 has no segmentation; add it, or take'):
        read()


@pytest.mark.parametrize(
    ('kind', 'index', 'change', 'message'),
    [
        ('annotations', 0, dict(image_id=99), "is of image 99, which 'images' does not have"),
        (
            'annotations',
            0,
            dict(track_id=None),
            'annotation 1 has no track_id, no',
        ),
        ('annotations', 0, dict(category_id=9), "has category_id 9, which 'categories'"),
        ('annotations', 0, dict(image_id=10), 'track 70 has another annotation in image 10'),
        ('annotations', 0, dict(category_id=2), 'track 70 of video 3 has the categories 2, 5'),
        ('annotations', 0, dict(segmentation=rle(0, 0) | dict(size=[9, 9])), 'RLE is of size'),
        ('annotations', 0, dict(segmentation=[[1, 2]]), 'at least three points'),
        ('annotations', 0, dict(segmentation=5), '5 is no mask'),
        ('images', 0, dict(frame_id=2), 'two images are frame 2'),
        ('images', 0, dict(frame_id=None), 'image 11 has no whole number frame_id'),
        ('images', 0, dict(width=31), 'its images are of different sizes'),
        ('images', 0, dict(video_id=4), "is of video 4, which 'videos' does not have"),
        ('images', 0, dict(id=10), 'the id 10 is given to two images'),
        ('images', 0, dict(height='20'), "image 11: 'height' is '20'; give the pixels"),
        ('categories', 0, dict(name='dog'), "category name given more than once: 'dog'"),
        ('categories', 0, dict(id=2), 'category id given more than once: 2'),
    ],
)
def test_broken_entries(read, content, kind, index, change, message):
    content[kind][index] |= change
    with pytest.raises(InputError, match=message) as error:
        read()
    assert '\n' not in str(error.value) and '; ' in str(error.value)


@pytest.mark.parametrize('name', BROKEN)
def test_broken_masks(read, content, name):
    content['annotations'][1]['segmentation'] = dict(size=[20, 30], counts=BROKEN[name])
    message = r'annotation 2: the RLE (is broken|covers)|half a character'
    with only_whole_masks_reach_pycocotools(), pytest.raises(InputError, match=message):
        read()


def test_numbers_as_text_and_odd_numbers(read, content):
    content['annotations'][0]['iscrowd'] = content['annotations'][1]['iscrowd'] = '0'
    content['annotations'][2]['iscrowd'] = '1'
    annotations = read()
    assert [track.crowd for track in annotations.videos[0].tracks] == [False, True]
    assert annotations.notes == [
        '1 tracks are crowds (iscrowd 1), which no training takes and scores ignore'
    ]
    for change, message in (
        (dict(iscrowd='no'), "annotation 1: iscrowd is 'no'"),
        (dict(iscrowd=2), 'annotation 1: iscrowd is 2'),
        (dict(iscrowd=0, score='high'), "annotation 1 has the score 'high'"),
        (dict(score=float('nan')), 'annotation 1 has the score nan'),
        (dict(score=1, segmentation=[[1, 2, float('nan'), 4, 5, 6]]), 'no finite number'),
        (dict(segmentation=[[1, 2, 2e8, 4, 5, 6]]), 'pixels outside of the frame'),
    ):
        content['annotations'][0] |= change
        with pytest.raises(InputError, match=message):
            read()
    content['annotations'][0]['segmentation'] = [1, 1, 5, 1, 5, 4, 1, 4]  # flat
    assert mask_utils.area(read().videos[0].tracks[0].masks[1]) == 12


def test_images_outside_of_the_folder(read, content, tmp_path):
    for name in ('../x.png', str(tmp_path / 'v' / 'x.png'), 'v/../../x.png', ''):
        content['images'][1]['file_name'] = name
        with pytest.raises(InputError, match=r'image 10 has .* leads out of --frames'):
            read()
    content['images'][1]['file_name'] = 'x' * 300
    with pytest.raises(InputError, match=r'the image is missing'):
        read()


def test_a_size_that_the_images_do_not_have(read, content):
    for width, message in (
        (31, r'x\.png: is 30x20 .* are for 31x20; give'),
        (2_000_000_000, r'image 11: a frame of 2000000000x20 .* has more than'),
        (-30, "image 11: 'width' is -30"),
    ):
        for image in content['images']:
            image['width'] = width
        with pytest.raises(InputError, match=message):
            read()


@pytest.fixture
def cvat(tmp_path, content):
    """The same as CVAT exports a video task in "COCO 1.0"."""
    del content['videos']
    for image, number in zip(content['images'], (10, 9), strict=True):
        for key in ('video_id', 'frame_id'):
            del image[key]
        image['file_name'] = f'v/frame_{number:06d}.PNG'
    for old, new in (('y.png', 'frame_000010.PNG'), ('x.png', 'frame_000009.PNG')):
        (tmp_path / 'v' / old).rename(tmp_path / 'v' / new)
    for annotation in content['annotations']:
        number = annotation.pop('track_id', None) or annotation.pop('instance_id')
        annotation['attributes'] = dict(occluded=False, track_id=number - 70, keyframe=True)
    return content


def test_coco_of_cvat(read, cvat, tmp_path):
    for videos in (None, []):
        assert len(read().videos[0].tracks) == 2
        cvat['videos'] = videos
    (video,) = read().videos
    assert video.name == 'v'
    assert [path.name[-6:] for path in video.frames.paths] == ['09.PNG', '10.PNG']
    cat, dog = video.tracks  # track_id 0 and 1
    boxes = {i: mask_utils.toBbox(mask).tolist() for i, mask in cat.masks.items()}
    assert boxes == {0: [4, 2, 3, 3], 1: [8, 2, 3, 3]} and list(dog.masks) == [1]
    # the frames from the video that was annotated
    for image in cvat['images']:
        image['file_name'] = image['file_name'].removeprefix('v/')
    (video,) = read(frames=write_video(tmp_path / 'street.mp4', size=(20, 30))).videos
    assert video.name == 'street' and video.frames.numbers == [9, 10]
    # a box that CVAT turned by a quarter around its centre
    box = dict(segmentation=[], bbox=[10, 8, 8, 2], attributes=dict(track_id=5, rotation=90.0))
    cvat['annotations'] = [cvat['annotations'][0] | box]
    (video,) = read(frames=tmp_path / 'v', boxes='fill').videos
    mask = mask_utils.decode(video.tracks[0].masks[1])
    assert mask.sum() == 16 and mask[5:13, 13:15].all()


def test_coco_of_several_videos(read, cvat, tmp_path):
    """A folder is a video; of names that are no numbers the natural order counts."""
    (tmp_path / 'w').mkdir()
    for name in ('shot9.png', 'shot10.png'):
        Image.new('RGB', (30, 20)).save(tmp_path / 'w' / name)
    size = dict(height=20, width=30)
    cvat['images'] += [
        dict(id=1, file_name='w/shot10.png', **size),
        dict(id=2, file_name='w/shot9.png', **size),
    ]
    cvat['annotations'].append(cvat['annotations'][0] | dict(id=9, image_id=2))
    v, w = read().videos
    assert [path.name for path in w.frames.paths] == ['shot9.png', 'shot10.png']
    assert (len(v.tracks), [list(track.masks) for track in w.tracks]) == (2, [[0]])
    del cvat['annotations'][0]['attributes']['track_id']
    with pytest.raises(InputError, match=r'no attributes\.track_id; give all masks of an object'):
        read()
    cvat['images'][0]['file_name'] = cvat['images'][1]['file_name']
    with pytest.raises(InputError, match=r'images 11 and 10 are both .*export each task'):
        read()


def test_files_of_other_tools(tmp_path):
    path = tmp_path / 'a.json'
    path.write_text(json.dumps([dict(id=1, data=dict(video='a.mp4'), annotations=[])]))
    with pytest.raises(InputError, match=r'an export of Label Studio; convert it with label_stu'):
        read_coco_video(path, tmp_path)
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('annotations/instances_default.json', '{}')
    with pytest.raises(InputError, match='is a zip; unpack it'):
        read_coco_video(path, tmp_path)


def test_broken_files(read, content, tmp_path):
    with pytest.raises(InputError, match=r'b\.json: no such file'):
        read_coco_video(tmp_path / 'b.json', tmp_path)
    (tmp_path / 'b.json').write_text('{"videos": [')
    with pytest.raises(InputError, match='not valid JSON'):
        read_coco_video(tmp_path / 'b.json', tmp_path)
    del content['images'][0]['file_name']
    with pytest.raises(InputError, match='entry 0 of images lacks file_name'):
        read()
    del content['images']
    with pytest.raises(InputError, match="no list 'images'; give a file in the format COCO-video"):
        read()
