"""COCO files: the same as mmdet's reading of them, labels by name, and clear errors."""

import json

import pytest
from broken_rle import broken_counts, only_whole_masks_reach_pycocotools
from coco_files import CAT_IDS, NAMES, coco_content, write_coco
from mmdet.datasets import CocoDataset

from mmvis_cl.datasets import COCOImages
from mmvis_cl.datasets.class_lists import class_list
from mmvis_cl.datasets.coco_classes import COCO_TO_VIS, CTVIS_COCO_TO_VIS
from mmvis_cl.errors import InputError

ANN_FILE = 'annotations/instances_train2017.json'
FILTER = dict(filter_empty_gt=True, min_size=32)


@pytest.fixture
def build(tmp_path):
    def build(content=None, dataset=COCOImages, **kwargs):
        cfg = dict(data_prefix=dict(img='train2017'), filter_cfg=FILTER, pipeline=[])
        root = str(write_coco(tmp_path, content))
        return dataset(ann_file=ANN_FILE, data_root=root, **{**cfg, **kwargs})

    return build


def test_images_are_those_of_mmdet(build):
    ours, theirs = build(test_mode=True), build(dataset=CocoDataset, test_mode=True)
    assert ours.metainfo['classes'] == theirs.metainfo['classes']
    assert len(ours) == 4
    assert list(ours) == list(theirs)


def test_training_leaves_out_crowds_and_images_without_objects(build):
    def objects(dataset):
        return {
            image['img_id']: [NAMES[i['bbox_label']] for i in image['instances']]
            for image in dataset
        }

    three = ['person', 'car', 'mouse']
    assert objects(build()) == {100: three, 101: three, 103: ['mouse']}
    assert objects(build(filter_cfg=None))[102] == []
    assert objects(build(test_mode=True))[102] == ['person']  # the crowd


@pytest.mark.parametrize(
    'classes, expected',
    [
        ('2019', ['person', 'sedan']),
        ('2021', ['person', 'car']),
        ('2022', ['person', 'car']),
        ('ovis', ['Person', 'Vehical']),
    ],
)
def test_annotations_become_vis_classes(build, classes, expected):
    dataset = build(classes=classes, class_map='coco')
    names = class_list(classes)
    assert dataset.metainfo == dict(classes=names)
    # image 103 has only a computer mouse, which is no class of any of the lists
    assert [image['img_id'] for image in dataset] == [100, 101]
    for image in dataset:
        assert [names[i['bbox_label']] for i in image['instances']] == expected


def test_the_table_names_classes_that_exist():
    for classes, table in COCO_TO_VIS.items():
        assert set(table) <= set(NAMES)
        assert set(table.values()) <= set(class_list(classes))
        assert 'mouse' not in table
        # whatever has the same name in both is the same thing, but for the mouse
        same = {n for n in NAMES if n.replace(' ', '_') in map(str.lower, class_list(classes))}
        assert same - {'mouse'} <= set(table)
        for name, target in table.items():
            assert name.replace(' ', '_') == target.lower() or name not in same
    vehicles = {name for name, target in COCO_TO_VIS['ovis'].items() if target == 'Vehical'}
    assert vehicles == {'car', 'bus', 'truck'}


# Its ids of COCO's categories, and those of the classes, from 1
CTVIS_IDS = {
    '2019': '1:1 2:21 3:6 4:21 5:28 7:17 8:29 9:34 17:14 18:8 19:18 21:15 22:32 23:20 24:30 25:22 '
    '35:33 36:33 41:5 42:27 43:40',
    '2021': '1:26 2:23 3:5 4:23 5:1 7:36 8:37 9:4 16:3 17:6 18:9 19:19 21:7 22:12 23:2 24:40 25:18 '
    '34:14 35:31 36:31 41:29 42:33 43:34',
    'ovis': '1:1 2:21 3:25 4:22 5:23 6:25 8:25 9:24 17:3 18:4 19:5 20:6 21:7 22:8 23:9 24:10 25:11',
}


@pytest.mark.parametrize('classes', CTVIS_IDS)
def test_the_table_of_ctvis_is_its_releases(classes):
    # ids of COCO's categories have gaps: these are those below 44
    ids = [i for i in range(1, 44) if i not in (12, 26, 29, 30)]
    coco = dict(zip(ids, NAMES, strict=False))
    assert coco[17] == 'cat' and coco[43] == 'tennis racket'
    names = class_list(classes)
    pairs = (map(int, pair.split(':')) for pair in CTVIS_IDS[classes].split())
    assert CTVIS_COCO_TO_VIS[classes] == {coco[i]: names[to - 1] for i, to in pairs}
    assert CTVIS_COCO_TO_VIS['2022'] == CTVIS_COCO_TO_VIS['2021']


def test_an_unknown_table_is_a_clear_error(build):
    with pytest.raises(InputError, match="class_map='cocco'; give 'coco', 'ctvis' or a dict"):
        build(classes='2021', class_map='cocco')


def test_classes_of_the_file_and_of_ones_own(build):
    content = coco_content()
    content['categories'] = [c for c in content['categories'] if c['id'] % 2][::-1]
    names = [c['name'] for c in content['categories']]
    dataset = build(content, classes=None)
    assert list(dataset.metainfo['classes']) == names
    dataset = build(classes=('car', 'person'))
    assert [i['bbox_label'] for i in dataset[0]['instances']] == [1, 0]
    dataset = build(classes=('thing', 'human'), class_map=dict(person='human', car='thing'))
    assert [i['bbox_label'] for i in dataset[0]['instances']] == [1, 0]
    dataset = build(classes=None, class_map=dict(person='object', car='object'))
    assert dataset.metainfo == dict(classes=('object',))
    assert [i['bbox_label'] for i in dataset[0]['instances']] == [0, 0]


def change(content, case):
    if case == 'not json':
        return '{"images": ['
    if case == 'a list':
        return '[]'
    if case == 'videos':
        return json.dumps(dict(videos=[]))
    if case == 'no category':
        content['categories'] = [c for c in content['categories'] if c['name'] != 'sheep']
    if case == 'no segmentation':
        del content['annotations'][1]['segmentation']
    if case == 'no area':
        del content['annotations'][1]['area']
    if case == 'nothing':
        content['annotations'] = [a for a in content['annotations'] if a['iscrowd']]
    return json.dumps(content)


@pytest.mark.parametrize(
    'case, message',
    [
        ('not json', 'not valid JSON'),
        ('a list', 'not a COCO annotation file'),
        ('videos', "no list 'images', 'categories', 'annotations' at its top level"),
        ('no category', "has no category 'sheep'"),
        ('no segmentation', "image 100 has an annotation without 'segmentation'"),
        ('no area', "entry 1 of annotations (id 2) lacks 'area'"),
        ('nothing', 'the training set is empty: it has 4 images'),
    ],
)
def test_broken_files_are_one_line(build, tmp_path, case, message):
    build()
    (tmp_path / ANN_FILE).write_text(change(coco_content(), case))
    with pytest.raises(InputError) as error:
        COCOImages(ANN_FILE, data_root=str(tmp_path), filter_cfg=FILTER, pipeline=[])
    assert message in str(error.value) and '\n' not in str(error.value)
    assert str(tmp_path / ANN_FILE) in str(error.value)


def test_missing_files_are_one_line(build):
    with pytest.raises(InputError, match=r'000000000100.png: the first image .* is missing'):
        build(data_prefix=dict(img='elsewhere'))
    with pytest.raises(InputError, match=r'other.json: the annotation file is missing'):
        COCOImages('other.json', pipeline=[])


def test_contradicting_classes(build):
    with pytest.raises(InputError, match='in the same order, and CocoMetric'):
        build(classes=NAMES[::-1], test_mode=True)
    with pytest.raises(InputError, match="class_map='coco' leads to the classes of '2019'"):
        build(class_map='coco')
    with pytest.raises(InputError, match="class_map leads to 'human', and classes"):
        build(class_map=dict(person='human'))
    with pytest.raises(InputError, match="has no category 'persona'"):
        build(class_map=dict(persona='person'))


def test_an_annotation_ends_with_the_category_it_came_from(build):
    dataset = build(classes='2021', class_map='coco')
    assert {i: class_list('2021')[label] for i, label in dataset.cat2label.items()} == {
        CAT_IDS[name]: target for name, target in COCO_TO_VIS['2021'].items()
    }


DAMAGE = {
    'two images of one id': (('images', 1, 'id'), 100, 'image 100: this id is given to two'),
    'an image without width': (('images', 0, 'width'), None, "'width' is None"),
    'a frame of 2e9 pixels': (('images', 0, 'width'), 2_000_000_000, 'MAX_FRAME_PIXELS'),
    'a list as id': (('images', 0, 'id'), [1], r'the id is \[1\]'),
    'ids of both kinds': (('images', 0, 'id'), 'a', 'all of them numbers or all'),
    'no text as name': (('images', 0, 'file_name'), 5, 'the name of its file is 5'),
    'a name that leaves the folder': (('images', 0, 'file_name'), '../x.png', "by '..'"),
    'an absolute name': (('images', 0, 'file_name'), '/x.png', 'is an absolute path'),
    'no image': (('images', 0), 7, 'entry 0 of images is 7, no object'),
    'two categories of one id': (('categories', 1, 'id'), 1, 'category id given more than once: 1'),
    'two categories of one name': (('categories', 1, 'name'), 'person', "than once: 'person'"),
    'no annotation': (('annotations', 0), None, 'entry 0 of annotations is None, no object'),
    'two annotations of one id': (('annotations', 1, 'id'), 1, 'given to two annotations'),
    'an unknown image': (('annotations', 0, 'image_id'), 9, "image_id 9 is not in the list 'im"),
    'an unknown category': (('annotations', 0, 'category_id'), 9999, 'category_id 9999 is not'),
    'a category in a list': (('annotations', 0, 'category_id'), [1], r'the id is \[1\]'),
    'a box of NaN': (('annotations', 0, 'bbox'), [1, float('nan'), 3, 4], 'the box .* is not'),
    'a short box': (('annotations', 0, 'bbox'), [1, 2, 3], 'the box .* is not'),
    'a text as area': (('annotations', 0, 'area'), '12', "the area is '12'"),
    'no crowd or not': (('annotations', 0, 'iscrowd'), 'no', "iscrowd is 'no'"),
    'a NaN polygon': (
        ('annotations', 0, 'segmentation'),
        [[1, 2, float('nan'), 4, 5, 6]],
        'finite',
    ),
    'a far polygon': (('annotations', 0, 'segmentation'), [[1, 2, 3e8, 4, 5, 6]], 'outside of'),
    'an endless outline': (
        ('annotations', 0, 'segmentation'),
        [[-700, 0, 700, 50] * 2000],
        'outlines of the polygons',
    ),
    'a polygon of texts': (('annotations', 0, 'segmentation'), [['1', '2'] * 4], 'not made of num'),
    'another size': (
        ('annotations', 0, 'segmentation'),
        dict(size=[6, 8], counts='P1'),
        r'of size \[6, 8\]',
    ),
    'too few counts': (
        ('annotations', 0, 'segmentation'),
        dict(size=[60, 80], counts=[5, 5]),
        'covers 10 pixels',
    ),
    **{
        f'RLE with {name}': (
            ('annotations', 0, 'segmentation'),
            dict(size=[60, 80], counts=counts),
            'annotation 1: the RLE (is broken|covers)|half a character',
        )
        for name, counts in broken_counts(60, 80).items()
    },
    'a number as mask': (('annotations', 0, 'segmentation'), 5, '5 is no mask'),
}


@pytest.mark.parametrize('name', DAMAGE)
@pytest.mark.parametrize('test_mode', [False, True])
def test_every_damage_is_one_line(tmp_path, name, test_mode):
    (tmp_path / ANN_FILE).parent.mkdir()
    (*way, last), value, message = DAMAGE[name]
    content = place = coco_content()
    for step in way:
        place = place[step]
    place[last] = value
    (tmp_path / ANN_FILE).write_text(json.dumps(content))
    with only_whole_masks_reach_pycocotools(), pytest.raises(InputError, match=message) as error:
        COCOImages(ANN_FILE, data_root=str(tmp_path), pipeline=[], test_mode=test_mode)
    text = str(error.value)
    assert text.startswith(str(tmp_path / ANN_FILE)) and '; ' in text and text.isprintable()


def test_a_flat_polygon_is_one_and_a_crowd_a_crowd(build, tmp_path):
    build()
    content = coco_content()
    content['annotations'][0]['segmentation'] = [4, 4, 76, 4, 76, 56, 4, 56]
    content['annotations'][1]['iscrowd'] = '1'
    content['annotations'][2]['iscrowd'] = '0'
    (tmp_path / ANN_FILE).write_text(json.dumps(content))
    prefix = dict(img='train2017')
    dataset = COCOImages(ANN_FILE, data_root=str(tmp_path), data_prefix=prefix, pipeline=[])
    instances = dataset.get_data_info(0)['instances']
    assert len(instances) == 2 and len(build().get_data_info(0)['instances']) == 3
    assert instances[0]['mask'] == [[4, 4, 76, 4, 76, 56, 4, 56]]
