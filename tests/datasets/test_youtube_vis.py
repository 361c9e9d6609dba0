"""VISDataset: what it reads, and what it says about files that contradict themselves."""

import copy
import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from mmdet.datasets import YouTubeVISDataset
from pycocotools import mask as mask_utils

from mmvis_cl.datasets.class_lists import class_list
from mmvis_cl.errors import InputError

SHARED = Path(os.environ.get('MMVIS_CL_SHARED', Path(__file__).parents[3] / 'shared'))


def test_reads_tracks_frame_by_frame(build_vis):
    dataset = build_vis()
    assert len(dataset) == 1
    # By category id: 3 (cat), then 7 (dog), although the file lists the dog first.
    assert dataset.metainfo['classes'] == ('cat', 'dog')
    video = dataset.get_data_info(0)
    assert video['video_id'] == 5 and video['video_length'] == 12
    assert [image['frame_id'] for image in video['images']] == list(range(12))
    assert len({image['img_id'] for image in video['images']}) == 12
    image = video['images'][3]
    assert image['img_path'].endswith('JPEGImages/clip/00003.png')
    assert [i['annotation_id'] for i in image['instances']] == [11, 12]
    assert [i['annotation_id'] for i in video['images'][4]['instances']] == [11, 12, 13]
    assert [i['instance_id'] for i in video['images'][4]['instances']] == [11, 12, 13]
    square = image['instances'][1]
    assert square['bbox'] == [26, 10, 36, 20]
    assert square['bbox_label'] == 1 and square['ignore_flag'] == 0
    mask = np.zeros((60, 80), np.uint8)
    mask[10:20, 26:36] = 1
    assert np.array_equal(mask_utils.decode(square['mask']), mask)


def test_all_kinds_of_segmentation_give_the_same_mask(build_vis, vis_content):
    square = vis_content['annotations'][1]
    expected = mask_utils.decode(square['segmentations'][0])
    # Uncompressed RLE runs down the columns, first of zeros.
    flat = expected.flatten(order='F')
    changes = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *changes, flat.size]).tolist()
    square['segmentations'][1] = dict(size=[60, 80], counts=counts)
    square['segmentations'][2] = [[20, 10, 30, 10, 30, 20, 20, 20]]
    square['bboxes'][1] = square['bboxes'][2] = None
    instances = [image['instances'][1] for image in build_vis().get_data_info(0)['images'][:3]]
    for instance in instances:
        assert isinstance(instance['mask']['counts'], str)
        assert np.array_equal(mask_utils.decode(instance['mask']), expected)
        assert instance['bbox'] == [20, 10, 30, 20]


def test_classes_choose_and_order_the_labels(build_vis):
    video = build_vis(classes=('dog', 'cat')).get_data_info(0)
    assert [i['bbox_label'] for i in video['images'][0]['instances']] == [1, 0, 1]
    dogs = build_vis(metainfo=dict(classes=('dog',))).get_data_info(0)
    assert [i['annotation_id'] for i in dogs['images'][0]['instances']] == [12]


@pytest.mark.parametrize('year, list_of', [('2019', '2019'), ('2021', '2021'), ('2022', '2021')])
def test_official_class_lists(build_vis, vis_content, year, list_of):
    before = copy.deepcopy(YouTubeVISDataset.METAINFO)

    class Official(YouTubeVISDataset):
        pass

    Official.set_dataset_classes(list_of)
    names = Official.METAINFO['classes']
    # The official files number their categories from 1 in this order; here they are shuffled.
    vis_content['categories'] = [dict(id=i + 1, name=n) for i, n in enumerate(names)][::-1]
    dataset = build_vis(classes=year)
    assert dataset.metainfo['classes'] == names and len(names) == 40
    labels = [i['bbox_label'] for i in dataset.get_data_info(0)['images'][0]['instances']]
    assert labels == [2, 6, 2]
    assert before == YouTubeVISDataset.METAINFO


@pytest.mark.parametrize('last', ['Vehical', 'Vehicle'])
def test_ovis_in_either_spelling(build_vis, vis_content, last):
    names = [*class_list('ovis')[:24], last]
    vis_content['categories'] = [dict(id=i + 1, name=n) for i, n in enumerate(names)][::-1]
    vis_content['annotations'][1]['category_id'] = 25
    dataset = build_vis(classes='ovis')
    assert dataset.metainfo['classes'] == tuple(names)
    labels = [i['bbox_label'] for i in dataset.get_data_info(0)['images'][0]['instances']]
    assert labels == [2, 24, 2]
    # A list of one's own is taken to the letter.
    with pytest.raises(InputError, match='no category for the classes vehicle'):
        build_vis(classes=('vehicle',))


@pytest.mark.parametrize('ids', [('a', 'b', '12'), (900100000011, 2**70, 3), (None,) * 3])
def test_tracks_are_numbered_where_their_ids_fit_no_array(build_vis, vis_content, ids):
    for annotation, value in zip(vis_content['annotations'], ids, strict=True):
        annotation['id'] = value
        if value is None:
            del annotation['id']
    instances = build_vis().get_data_info(0)['images'][4]['instances']
    assert [i['instance_id'] for i in instances] == [0, 1, 2]
    expected = [0, 1, 2] if ids[0] is None else list(ids)
    assert [i['annotation_id'] for i in instances] == expected


def test_crowd_is_left_out_of_training_only(build_vis, vis_content):
    vis_content['annotations'][1]['iscrowd'] = 1
    train = build_vis().get_data_info(0)['images'][0]['instances']
    assert [i['annotation_id'] for i in train] == [11, 13]
    test = build_vis(test_mode=True).get_data_info(0)['images'][0]['instances']
    assert [(i['annotation_id'], i['ignore_flag']) for i in test] == [(11, 0), (12, 1), (13, 0)]


def test_training_drops_videos_without_annotation_but_keeps_empty_frames(build_vis, vis_content):
    vis_content['videos'].append({**vis_content['videos'][0], 'id': 6})
    for annotation in vis_content['annotations']:
        annotation['segmentations'][7] = annotation['bboxes'][7] = None
    dataset = build_vis()
    assert [dataset.get_data_info(i)['video_id'] for i in range(len(dataset))] == [5]
    assert dataset.get_len_per_video(0) == 12
    assert dataset.get_data_info(0)['images'][7]['instances'] == []
    assert len(build_vis(test_mode=True)) == 2


def test_unannotated_file_in_test_mode_only(build_vis, vis_content):
    del vis_content['annotations']
    dataset = build_vis(test_mode=True)
    assert dataset.get_len_per_video(0) == 12
    with pytest.raises(InputError, match="no list 'annotations'"):
        build_vis()


def test_survives_the_way_to_a_worker(build_vis):
    dataset = pickle.loads(pickle.dumps(build_vis()))
    assert dataset.metainfo['classes'] == ('cat', 'dog') and len(dataset) == 1


def short_segmentations(content):
    content['annotations'][1]['segmentations'].pop()


def short_bboxes(content):
    content['annotations'][1]['bboxes'].pop()


def unknown_category(content):
    content['annotations'][1]['category_id'] = 4


def unknown_video(content):
    content['annotations'][1]['video_id'] = 9


def other_size(content):
    content['annotations'][1]['segmentations'][2]['size'] = [30, 40]


def other_area(content):
    content['annotations'][1]['segmentations'][2] = dict(size=[60, 80], counts=[10, 20])


def cut_rle(content):
    rle = content['annotations'][1]['segmentations'][2]
    rle['counts'] = rle['counts'][:-1]


def rle_of_a_smaller_image(content):
    rle = mask_utils.encode(np.ones((6, 8), np.uint8, order='F'))
    counts = rle['counts'].decode()
    content['annotations'][1]['segmentations'][2] = dict(size=[60, 80], counts=counts)


def rle_of_other_characters(content):
    content['annotations'][1]['segmentations'][2]['counts'] = 'not RLE'


def rle_without_counts(content):
    content['annotations'][1]['segmentations'][2]['counts'] = None


def two_points(content):
    content['annotations'][1]['segmentations'][2] = [[1, 1, 5, 5]]


def no_frames(content):
    content['videos'][0].update(file_names=[], length=0)


def other_length(content):
    content['videos'][0]['length'] = 13


def no_height(content):
    del content['videos'][0]['height']


def twice_the_same_id(content):
    content['annotations'][1]['id'] = 11


def no_videos(content):
    del content['videos']


TRACK = r'train\.json: annotation 12 of video 5 \(clip\)'


@pytest.mark.parametrize(
    'damage, message',
    [
        (
            short_segmentations,
            r"12 of video 5: 'segmentations' has 11 entries, .* 12 frames",
        ),
        (short_bboxes, TRACK + r": 'bboxes' has 11 entries, .* 12 frames"),
        (
            unknown_category,
            r'12 of video 5: category_id 4 is not in the list .*\(3, 7\)',
        ),
        (unknown_video, r"annotation 12 of video 9: no such video in 'videos'"),
        (other_size, TRACK + r', frame 2: the RLE is of size \[30, 40\], .* \[60, 80\]'),
        (other_area, TRACK + r', frame 2: the RLE covers 30 pixels, the video has 4800'),
        (cut_rle, TRACK + r', frame 2: the RLE (is broken|covers)'),
        (rle_of_a_smaller_image, TRACK + r', frame 2: the RLE covers 48 pixels, .* has 4800'),
        (rle_of_other_characters, TRACK + r', frame 2: the RLE is broken \(characters'),
        (rle_without_counts, TRACK + r', frame 2: the RLE is broken'),
        (two_points, TRACK + r', frame 2: a polygon needs at least three points'),
        (no_frames, r'train\.json: video 5: has no frames'),
        (other_length, r"train\.json: video 5: 'length' is 13 but .* 12 images"),
        (no_height, r"train\.json: entry 0 of videos \(id 5\) lacks 'height'"),
        (twice_the_same_id, r'annotation 11 of video 5 \(clip\): this id is given to two'),
        (no_videos, r"train\.json: no list 'videos' at its top level"),
    ],
)
@pytest.mark.parametrize('test_mode', [False, True])
def test_contradictions_are_named(build_vis, vis_content, damage, message, test_mode):
    damage(vis_content)
    with pytest.raises(InputError) as error:
        build_vis(test_mode=test_mode)
    assert re.search(message, str(error.value)), str(error.value)
    assert '\n' not in str(error.value)


def test_empty_sets(build_vis, vis_content):
    vis_content['annotations'] = []
    with pytest.raises(InputError, match='training set is empty: none of its videos has an anno'):
        build_vis()
    vis_content['videos'] = []
    with pytest.raises(InputError, match='test set is empty: the file has no videos'):
        build_vis(test_mode=True)


def test_classes_that_the_file_lacks(build_vis):
    with pytest.raises(InputError, match=r'no category for the classes bird, cow; it has cat, dog'):
        build_vis(classes=('cat', 'bird', 'cow'))
    with pytest.raises(InputError, match="classes='2020' is not known"):
        build_vis(classes='2020')


def test_files_that_cannot_be_read(build_vis, vis_root):
    with pytest.raises(InputError, match=r'absent\.json: the annotation file is missing'):
        build_vis(ann_file='absent.json')
    (vis_root / 'cut.json').write_text('{"videos": [')
    with pytest.raises(InputError, match=r'cut\.json: not valid JSON'):
        build_vis(ann_file='cut.json')
    (vis_root / 'list.json').write_text('[]')
    with pytest.raises(InputError, match=r"list\.json: no list 'videos', 'categories'"):
        build_vis(ann_file='list.json')
    with pytest.raises(InputError, match=r'00000\.png: the first image .* is missing; check data_'):
        build_vis(data_prefix=dict(img_path='elsewhere'))


def test_real_videos():
    root = SHARED / 'data' / 'paste'
    if not root.exists():
        pytest.skip(f'{root} is not there; set MMVIS_CL_SHARED to the folder with the real data')
    from mmvis_cl.datasets import VISDataset

    names = ('person', 'rider', 'car', 'dog', 'bird', 'camel', 'cow', 'goat')
    for split, videos, frames, tracks in (('train', 90, 12, 386), ('valid', 24, 18, 112)):
        dataset = VISDataset(
            f'{split}.json',
            data_root=str(root),
            data_prefix=dict(img_path='JPEGImages'),
            test_mode=split == 'valid',
        )
        assert dataset.metainfo['classes'] == names
        assert len(dataset) == videos
        images = [image for i in range(videos) for image in dataset.get_data_info(i)['images']]
        assert len(images) == videos * frames
        instances = [instance for image in images for instance in image['instances']]
        assert len({instance['instance_id'] for instance in instances}) == tracks
        # The boxes of the file and those of the masks agree: x1, y1, x2, y2 in pixels.
        for instance in instances[::50]:
            x, y, w, h = mask_utils.toBbox(instance['mask'])
            assert np.allclose(instance['bbox'], [x, y, x + w, y + h], atol=1)
