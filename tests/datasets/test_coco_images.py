"""COCO files: the same as mmdet's reading of them, labels by name, and clear errors."""

import json

import pytest
from coco_files import CAT_IDS, NAMES, coco_content, write_coco
from mmdet.datasets import CocoDataset

from mmvis_cl.datasets import COCOImages
from mmvis_cl.datasets.class_lists import class_list
from mmvis_cl.datasets.coco_classes import COCO_TO_VIS
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
