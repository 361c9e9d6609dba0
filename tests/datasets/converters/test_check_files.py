"""Trees as they are downloaded, with one thing broken at a time."""

import copy
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from mmvis_cl.datasets.converters.check_files import check_split, find_splits
from mmvis_cl.errors import InputError


@pytest.fixture
def tree(vis_root):
    """YouTube-VIS 2019's tree: train.json, valid.json without annotations, SPLIT/JPEGImages."""
    content = json.loads((vis_root / 'train.json').read_text())
    (vis_root / 'train').mkdir()
    (vis_root / 'JPEGImages').rename(vis_root / 'train' / 'JPEGImages')
    shutil.copytree(vis_root / 'train', vis_root / 'valid')
    del content['annotations']
    (vis_root / 'valid.json').write_text(json.dumps(content))
    return vis_root


def reports_of(tree, **kwargs):
    return {files.name: check_split(files, **kwargs) for files in find_splits(tree)}


def problems_of(tree, **kwargs):
    return [p for report in reports_of(tree, **kwargs).values() for p in report.problems]


@pytest.mark.parametrize('workers', [0, 2])
def test_a_whole_tree(tree, workers):
    reports = reports_of(tree, workers=workers)
    train, valid = reports['train'], reports['valid']
    # Objects 1 and 2 are seen in all 12 frames, 3 in each second one.
    assert (train.videos, train.frames, train.tracks, train.masks) == (1, 12, 3, 12 + 12 + 6)
    assert (valid.videos, valid.frames, valid.tracks, valid.masks) == (1, 12, 0, 0)
    assert train.problems == valid.problems == [] and len(reports) == 2


def test_layouts(tree, tmp_path):
    found = [(s.name, s.ann_file, s.image_folder) for s in find_splits(tree)]
    expected = [(n, tree / f'{n}.json', tree / n / 'JPEGImages') for n in ('train', 'valid')]
    assert found == expected
    # 2021 and 2022
    for name in ('train', 'valid'):
        (tree / f'{name}.json').rename(tree / name / 'instances.json')
    found = [(s.name, s.ann_file, s.image_folder) for s in find_splits(tree)]
    assert found == [(n, tree / n / 'instances.json', tree / n / 'JPEGImages') for n, *_ in found]
    # both are there
    shutil.copy(tree / 'train' / 'instances.json', tree / 'train.json')
    train = find_splits(tree)[0]
    assert train.ann_file == tree / 'train.json'
    assert train.others == [tree / 'train' / 'instances.json']
    # OVIS
    ovis = tmp_path / 'ovis'
    ovis.mkdir()
    shutil.copytree(tree / 'train' / 'JPEGImages', ovis / 'train')
    shutil.copy(tree / 'train.json', ovis / 'annotations_train.json')
    (files,) = find_splits(ovis)
    assert (files.ann_file, files.image_folder) == (ovis / 'annotations_train.json', ovis / 'train')
    assert check_split(files).problems == []


def test_one_folder_of_images(vis_root):
    (files,) = find_splits(vis_root)
    assert files.image_folder == vis_root / 'JPEGImages'
    assert check_split(files).problems == []


def test_nothing_to_check(tmp_path):
    with pytest.raises(InputError, match='there is no such folder'):
        find_splits(tmp_path / 'nowhere')
    with pytest.raises(InputError, match='no annotation file of any split'):
        find_splits(tmp_path)


def test_images_without_annotation_file(tree):
    (tree / 'valid.json').unlink()
    ((kind, message),) = problems_of(tree)
    assert kind == 'annotation'
    assert message.startswith(f'{tree / "valid.json"}: the annotation file is missing')


def test_train_without_annotations(tree):
    shutil.copy(tree / 'valid.json', tree / 'train.json')
    ((_, message),) = problems_of(tree)
    assert "no list 'annotations'" in message


@pytest.mark.parametrize('decode', [True, False])
@pytest.mark.parametrize('workers', [0, 2])
def test_images(tree, decode, workers):
    folder = tree / 'train' / 'JPEGImages' / 'clip'
    (folder / '00002.png').unlink()
    Image.new('RGB', (80, 30)).save(folder / '00004.png')
    (folder / '00005.png').write_bytes(b'')
    (folder / '00006.png').write_text('<html>not found</html>')
    # The header of a truncated image is whole.
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    Image.fromarray(noise).save(folder / '00008.png')
    data = (folder / '00008.png').read_bytes()
    (folder / '00008.png').write_bytes(data[: len(data) // 2])
    problems = problems_of(tree, decode=decode, workers=workers)
    expected = [
        ('missing image', '00002.png', 'the image is missing'),
        ('broken image', '00004.png', r'the image is 80x30 (width x height), .* says 80x60'),
        ('broken image', '00005.png', ''),
        ('broken image', '00006.png', ''),
    ] + [('broken image', '00008.png', 'cannot be decoded')] * decode
    assert [kind for kind, _ in problems] == [kind for kind, *_ in expected]
    for (_, message), (_, name, text) in zip(problems, expected, strict=True):
        assert message.startswith(f'{folder / name} (video 5, frame {int(name[4])})')
        assert all(part in message for part in text.split(' .* '))
        assert '\n' not in message


def test_missing_folder_of_a_video_is_one_problem(tree):
    shutil.rmtree(tree / 'train' / 'JPEGImages' / 'clip')
    ((kind, message),) = problems_of(tree)
    assert kind == 'missing image'
    assert 'clip (video 5): the folder with its 12 images is missing' in message


def test_all_problems_of_the_annotations(tree, vis_content):
    one, two, three = vis_content['annotations']
    one['segmentations'][2]['size'] = [30, 40]
    one['segmentations'][7]['counts'] = one['segmentations'][7]['counts'][:-1]
    one['bboxes'][3] = [1, 2]
    two['category_id'] = 4
    three['segmentations'].pop()
    vis_content['annotations'] += [
        {**copy.deepcopy(two), 'id': 20, 'category_id': 3, 'video_id': 9},
        {**copy.deepcopy(two), 'id': 21, 'category_id': 3, 'segmentations': [3] * 12},
        {**copy.deepcopy(two), 'id': 22, 'category_id': 3},
        17,
    ]
    vis_content['videos'] += [dict(id=6, width=80, height=60, file_names=[]), dict(id=7)]
    (tree / 'train.json').write_text(json.dumps(vis_content))
    report = reports_of(tree)['train']
    messages = [message for _, message in report.problems]
    wanted = [
        'video 6: has no frames',
        "entry 2 of videos (id 7) lacks 'width', 'height'",
        'annotation 11 of video 5 (clip), frame 2: the RLE is of size',
        'annotation 11 of video 5 (clip), frame 7: the RLE',
        'annotation 11 of video 5 (clip), frame 3: the box [1, 2]',
        'annotation 12 of video 5: category_id 4',
        "annotation 13 of video 5: 'segmentations' has 11 entries",
        'annotation 20 of video 9: no such video',
        *[f'annotation 21 of video 5 (clip), frame {i}: 3 is no mask' for i in range(12)],
        'entry 6 of annotations is 17, no object {...}',
    ]
    assert len(messages) == len(wanted)
    for message, text in zip(messages, wanted, strict=True):
        assert text in message and message.count(str(tree / 'train.json')) == 1
    # What is right is counted and looked at all the same: 9 masks of track 11, 12 of 22.
    assert (report.videos, report.frames, report.tracks, report.masks) == (1, 12, 7, 9 + 12)


@pytest.mark.parametrize('text', ['{"videos": [', '[]', '{"videos": [], "categories": []}'])
def test_file_that_cannot_be_read(tree, text):
    (tree / 'train.json').write_text(text)
    ((kind, message),) = problems_of(tree)
    assert kind == 'annotation' and str(tree / 'train.json') in message
