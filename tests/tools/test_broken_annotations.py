"""Every kind of damage to annotations or results, through everything that reads such files.

A new kind is one line of a table; a new reader is one line in annotation_readers.py.
"""

import copy
import json
import re
from pathlib import Path

import numpy as np
import pytest
from annotation_readers import (
    HEIGHT,
    OF_ANNOTATIONS,
    OF_RESULTS,
    READERS,
    WIDTH,
    complaint,
    make_annotations,
    make_results,
    read,
    square,
    write_images,
)
from broken_rle import broken_counts, only_whole_masks_reach_pycocotools

from mmvis_cl.ops.rle_counts import pixels_covered

# Who does not look at the masks of annotations, at their boxes, at the names of images.
NO_MASKS = ('merge', 'split_vis', 'VISMetric')
NO_BOXES = tuple(name for name in OF_ANNOTATIONS if not re.match('VISD|check_vis|vis_to', name))
NO_NAMES = ('eval', 'merge', 'merge --eval', 'errors', 'split_vis', 'VISMetric', 'BoxTrackMetric')
NO_IDS = ('shuffle',)  # of the annotations; it does not know them
DEEP = json.loads('[' * 300 + ']' * 300)
POLYGON = [[2, 2, 20, 2, 20, 12, 2, 12]]  # 18 x 10 pixels
NAN, INFINITE = float('nan'), float('inf')


@pytest.fixture(autouse=True)
def guard():
    with only_whole_masks_reach_pycocotools() as seen:
        yield seen


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp('images')
    write_images(folder)
    return folder


@pytest.fixture
def files(tmp_path, images):
    """Writes the files, and tells where they are."""

    def write(annotations=None, results=None):
        at = dict(
            annotations=tmp_path / 'train.json',
            results=tmp_path / 'found.json',
            images=images,
            out=tmp_path / 'out',
        )
        at['out'].mkdir(exist_ok=True)
        for name, content, make in (
            ('annotations', annotations, make_annotations),
            ('results', results, make_results),
        ):
            content = make() if content is None else content
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            at[name].write_bytes(data)
        return {name: str(path) for name, path in at.items()}

    return write


def put(*path, value):
    """Sets what is at a path; ``del`` removes it."""

    def change(content):
        *way, last = path
        for step in way:
            content = content[step]
        if value == 'del':
            del content[last]
        else:
            content[last] = copy.deepcopy(value)

    return change


def video(key, value):
    return put('videos', 0, key, value=value)


def category(key, value):
    return put('categories', 0, key, value=value)


def track(key, value):
    return put('annotations', 0, key, value=value)


def mask(value):
    return put('annotations', 0, 'segmentations', 1, value=value)


def box(value):
    return put('annotations', 0, 'bboxes', 1, value=value)


def found(key, value):
    return put(0, key, value=value)


def found_mask(value):
    return put(0, 'segmentations', 1, value=value)


MASKS = {
    'is a text': ('abc', 'is no mask'),
    'is a number': (5, 'is no mask'),
    'is true': (True, 'is no mask'),
    'is counts alone': (square(2, 2)['counts'], 'is no mask'),
    'is an empty object': ({}, "lacks 'size'"),
    'has no size': (dict(counts='0'), "lacks 'size'"),
    'has no counts': (dict(size=[HEIGHT, WIDTH]), "lacks 'counts'"),
    'has a text as size': (square(2, 2) | dict(size=f'[{HEIGHT}, {WIDTH}]'), "of size '"),
    'has texts as sides': (square(2, 2) | dict(size=['24', '32']), "of size \\['24'"),
    'is swapped': (square(2, 2) | dict(size=[WIDTH, HEIGHT]), r'of size \[32, 24\]'),
    'has a negative size': (square(2, 2) | dict(size=[-HEIGHT, -WIDTH]), r'of size \[-24'),
    'has null as counts': (square(2, 2) | dict(counts=None), 'broken'),
    'has a number as counts': (square(2, 2) | dict(counts=7), 'broken'),
    'has an object as counts': (square(2, 2) | dict(counts={}), 'broken'),
    **{
        f'is broken, {name}': (square(2, 2) | dict(counts=counts), 'broken|covers|half a character')
        for name, counts in broken_counts(HEIGHT, WIDTH).items()
    },
    'has negative counts': (square(2, 2) | dict(counts=[-8, HEIGHT * WIDTH + 8]), 'broken'),
    'has fractions as counts': (square(2, 2) | dict(counts=[0.5, 767.5]), 'broken'),
    'has counts in lists': (square(2, 2) | dict(counts=[[HEIGHT * WIDTH]]), 'broken'),
    'has counts beyond 64 bits': (square(2, 2) | dict(counts=[2**70]), 'broken'),
    'is a polygon of NaN': ([[2, 2, NAN, 2, 20, 20]], 'no finite number'),
    'is an infinite polygon': ([[2, 2, 9, -INFINITE, 20, 20]], 'no finite number'),
    'is a far polygon': ([[2, 2, 2e8, 2, 20, 20]], 'outside of the frame'),
    'is a far flat polygon': ([2, 2, -2e8, 2, 20, 20], 'outside of the frame'),
    'is an endless outline': ([[-300, 0, 300, 20] * 2000], 'outlines of the polygons'),
    'is a point': ([[2, 2]], 'three points'),
    'is a polygon of texts': ([['2', '2', '9', '2', '9', '9']], 'not made of numbers'),
    'is a polygon of points': ([[[2, 2], [9, 2], [9, 9]]], 'not made of numbers'),
    'is nested without end': (DEEP, 'no polygon|not made of numbers|three points'),
}
IDS = {
    'null': None,
    'a list': [1],
    'an object': {'a': 1},
    'true': True,
    'a fraction': 1.5,
    'NaN': NAN,
}
# What is done to the annotations, what is said of it, and who may take no notice.
ANNOTATIONS = {
    'video without id': (video('id', 'del'), "entry 0 of videos lacks 'id'", ()),
    'video without width': (video('width', 'del'), r"\(id 1\) lacks 'width'", ()),
    'video of neither length nor names': (
        lambda c: (video('length', 'del')(c), video('file_names', 'del')(c)),
        "lacks 'file_names'",
        (),
    ),
    'no video': (put('videos', 0, value=17), 'entry 0 of videos is 17, no object', ()),
    'null as video': (put('videos', 0, value=None), 'entry 0 of videos is None', ()),
    'a list as video': (put('videos', 0, value=[]), r'entry 0 of videos is \[\]', ()),
    'two videos of one id': (video('id', 2), 'video 2: this id is given to two videos', ()),
    'ids of numbers and texts': (video('id', 'x'), 'make all of them numbers or all', ()),
    'id with a line end': (video('id', 'a\nb'), 'control character', ()),
    **{
        f'{n} as video id': (video('id', v), r'the id is .*; give a whole', ())
        for n, v in IDS.items()
    },
    **{
        f'{name} as width': (video('width', value), "'width' is .*; give the pixels", ())
        for name, value in {**IDS, 'a text': '32', '0': 0, '-5': -5}.items()
    },
    'a frame of 2e9 pixels': (video('width', 2_000_000_000), 'MMVIS_CL_MAX_FRAME_PIXELS', ()),
    'a frame of 10^400 pixels': (video('width', 10**400), 'MMVIS_CL_MAX_FRAME_PIXELS', ()),
    'no frames': (video('file_names', []), 'has no frames', ()),
    'another length': (video('length', 4), "'length' is 4 but 'file_names' lists 3", ()),
    **{
        f'{name} as length': (video('length', value), "'length' is .*; give the number", ())
        for name, value in {**IDS, 'a text': '3', '-1': -1, '10^12': 10**12}.items()
    },
    'a text as file_names': (video('file_names', 'abc'), 'list the images', ()),
    'null as file_names': (video('file_names', None), 'list the images', ()),
    'null in file_names': (put('videos', 0, 'file_names', 1, value=None), 'image is None', ()),
    'a number in file_names': (put('videos', 0, 'file_names', 1, value=3), 'image is 3', ()),
    'a name that leaves the folder': (
        put('videos', 0, 'file_names', 1, value='../../etc/passwd'),
        r"leaves the folder of the data by '\.\.'",
        NO_NAMES,
    ),
    'a name that leaves it the other way': (
        put('videos', 0, 'file_names', 1, value='a\\..\\..\\b.png'),
        r"leaves the folder of the data by '\.\.'",
        NO_NAMES,
    ),
    'an absolute name': (
        put('videos', 0, 'file_names', 1, value='/etc/passwd'),
        'is an absolute path',
        (*NO_NAMES, 'vis_to_coco'),
    ),
    'a name with a null character': (
        put('videos', 0, 'file_names', 1, value='a\0b.png'),
        'is no name of a file',
        NO_NAMES,
    ),
    'a name of two lines': (
        put('videos', 0, 'file_names', 1, value='a\nb.png'),
        'is no name of a file',
        NO_NAMES,
    ),
    'an empty name': (
        put('videos', 0, 'file_names', 1, value=''),
        'is no name of a file',
        NO_NAMES,
    ),
    'no category': (put('categories', 0, value='cat'), "categories is 'cat', no object", ()),
    'category without id': (category('id', 'del'), "lacks 'id'", ()),
    'category without name': (category('name', 'del'), "lacks 'name'", ()),
    'two categories of one id': (category('id', 2), 'category id given more than once: 2', ()),
    'two categories of one name': (
        category('name', 'dog'),
        "category name given more than once: 'dog'",
        (),
    ),
    'category ids of numbers and texts': (category('id', '1'), 'make all of them numbers', ()),
    **{f'{n} as category id': (category('id', v), r'the id is', ()) for n, v in IDS.items()},
    **{
        f'{name} as name of a class': (category('name', value), 'the name is|control character', ())
        for name, value in {**IDS, 'a number': 7, 'two lines': 'a\nb'}.items()
    },
    'no annotation': (put('annotations', 0, value=17), 'annotations is 17, no object', ()),
    'null as annotation': (put('annotations', 0, value=None), 'annotations is None', ()),
    **{
        f'annotation without {key}': (track(key, 'del'), f"lacks '{key}'", ())
        for key in ('video_id', 'category_id', 'segmentations')
    },
    'unknown video': (track('video_id', 9), "of video 9: no such video in 'videos'", ()),
    'text of a known video': (track('video_id', '1'), "of video '1': no such video", ()),
    'unknown category': (track('category_id', 9), r'category_id 9 is not .*\(1, 2\)', ()),
    **{
        f'{name} as {key} of an annotation': (track(key, value), f"'{key}' is|the id is", ())
        for name, value in IDS.items()
        for key in ('video_id', 'category_id', 'id')
    },
    'two annotations of one id': (track('id', 2), 'this id is given to two annotations', ()),
    'null as segmentations': (track('segmentations', None), "'segmentations' has no entries", ()),
    'an object as segmentations': (track('segmentations', {}), "'segmentations' has no", ()),
    'too few segmentations': (
        track('segmentations', [None]),
        "'segmentations' has 1 entries, the video has 3",
        (),
    ),
    **{
        f'iscrowd of {value!r}': (track('iscrowd', value), 'iscrowd is', ())
        for value in ('yes', 2, [], {}, NAN, '', 0.5, -1)
    },
    **{f'mask {name}': (mask(value), text, NO_MASKS) for name, (value, text) in MASKS.items()},
    **{
        f'box of {value!r}': (box(value), 'the box .* is not', NO_BOXES)
        for value in (5, 'abc', [1, 2], [1, 2, 3, None], [1, 2, 3, '4'], {}, [0, 0, -5, 5])
    },
    'box of NaN': (box([1, NAN, 3, 4]), 'the box .* is not', NO_BOXES),
    'box that is far': (box([1, 1, 3e8, 4]), 'the box .* is not', NO_BOXES),
    'box of 10^400': (box([1, 1, 10**400, 4]), 'the box .* is not', NO_BOXES),
    'a number as bboxes': (track('bboxes', 5), "'bboxes' has no entries", NO_BOXES),
    'too few bboxes': (track('bboxes', [None]), "'bboxes' has 1 entries", NO_BOXES),
    **{
        f'{value!r} as {key}': (put(key, value=value), f"no list '{key}'", ())
        for key in ('videos', 'categories', 'annotations')
        for value in ({}, 'abc', 5)
    },
    'no videos': (put('videos', value='del'), "no list 'videos'", ()),
    'no categories': (put('categories', value='del'), "no list 'categories'", ()),
}
RESULTS = {
    'no result': (put(0, value=17), 'not a YouTube-VIS result file', ()),
    'null as result': (put(0, value=None), 'not a YouTube-VIS result file', ()),
    **{
        f'result without {key}': (found(key, 'del'), f"entry 0: has no '{key}'", ())
        for key in ('video_id', 'category_id', 'score', 'segmentations')
    },
    'unknown video': (found('video_id', 9), 'video_id 9 is not in the annotations', NO_IDS),
    'text of a known video': (found('video_id', '1'), "video_id '1' is not in", NO_IDS),
    'unknown category': (found('category_id', 9), 'category_id 9 is not in', NO_IDS),
    **{
        f'{name} as {key}': (found(key, value), f"'{key}' is", ())
        for name, value in IDS.items()
        for key in ('video_id', 'category_id')
    },
    **{
        f'score of {name}': (found('score', value), 'the score is .*, not a finite number', ())
        for name, value in {
            'null': None,
            'a text': 'high',
            'true': True,
            'a list': [1],
            'NaN': NAN,
            'infinity': INFINITE,
            '10^400': 10**400,
        }.items()
    },
    'null as segmentations': (found('segmentations', None), "'segmentations' has no entries", ()),
    'no segmentations': (
        found('segmentations', []),
        "'segmentations' has 0 entries, the video has",
        (),
    ),
    'too few segmentations': (
        found('segmentations', [None]),
        "'segmentations' has 1 entries, the video has 3",
        NO_IDS,
    ),
    **{
        f'mask {name}': (
            found_mask(value),
            f'{text}|its masks are no RLE|is of size' if name.startswith('is') else text,
            (),
        )
        for name, (value, text) in MASKS.items()
    },
}


@pytest.mark.parametrize('name', ANNOTATIONS)
def test_damage_to_annotations_is_told_in_one_line_by_all_that_read_them(files, name):
    change, text, unmoved = ANNOTATIONS[name]
    content = make_annotations()
    change(content)
    at = files(annotations=content)
    for reader in OF_ANNOTATIONS:
        line = complaint(reader, at)
        if line or reader not in unmoved:
            assert Path(line.split('json')[0] + 'json').name == 'train.json', (reader, line)
            assert re.search(text, line), (reader, line)
            assert '; ' in line or 'YouTube-VIS' in line, (reader, line)


@pytest.mark.parametrize('name', RESULTS)
def test_damage_to_results_is_told_in_one_line_by_all_that_read_them(files, name):
    change, text, unmoved = RESULTS[name]
    content = make_results()
    change(content)
    at = files(results=content)
    for reader in OF_RESULTS:
        line = complaint(reader, at)
        if line or reader not in unmoved:
            assert line.startswith(at['results']), (reader, line)
            assert re.search(text, line), (reader, line)


@pytest.mark.parametrize('seed', range(12))
def test_no_damage_to_the_characters_of_a_mask_reaches_pycocotools(files, seed):
    """Of a mask in any place: what is said, or that it was a mask all the same, is said by all."""
    rng = np.random.default_rng(seed)
    annotations, results = make_annotations(), make_results()
    content, file = [(annotations['annotations'], 'annotations'), (results, 'results')][seed % 2]
    masks = [rle for entry in content for rle in entry['segmentations'] if rle]
    rle = masks[rng.integers(len(masks))]
    characters = list(rle['counts'])
    for _ in range(rng.integers(1, 4)):
        place = rng.integers(len(characters) + 1)
        characters[place : place + rng.integers(3)] = map(
            chr, rng.integers(48, 112, rng.integers(3))
        )
    rle['counts'] = ''.join(characters)
    try:
        whole = pixels_covered(rle['counts']) == HEIGHT * WIDTH
    except ValueError:
        whole = False
    at = files(annotations, results)
    for reader in OF_ANNOTATIONS if file == 'annotations' else OF_RESULTS:
        if file == 'results' or reader not in NO_MASKS:
            assert bool(complaint(reader, at)) != whole, reader


def test_masks_do_reach_pycocotools(files, guard):
    """Else the guard would guard nothing."""
    at = files()
    for reader in ('errors', 'compare', 'vis_to_coco', 'BoxTrackMetric'):
        guard.clear()
        read(reader, at)
        assert sum(guard), reader


BYTES = {
    'nothing': (b'', 'is empty'),
    'a line end': (b'\n', 'is empty'),
    'half a file': (json.dumps(make_annotations()).encode()[:200], 'not valid JSON'),
    'no text': (b'\x89PNG\r\n\x1a\n\xff\xfe', 'not valid JSON'),
    'Latin-1': ('{"é": 1}'.encode('latin-1'), 'save the file as UTF-8'),
    'nested lists': (b'[' * 100_000, 'too deeply'),
    'nested objects': (b'{"a":' * 100_000, 'too deeply'),
    'half a character': (b'{"a": "\\ud800"}', 'half a character'),
    'a key twice': (b'{"videos": [], "videos": []}', "has the key 'videos' twice"),
    'a number of 5000 digits': (b'[' + b'7' * 5000 + b']', r'not valid JSON|no list|not a You'),
    'null': (b'null', 'no list|not a YouTube-VIS'),
    'a number': (b'5', 'no list|not a YouTube-VIS'),
    'a text': (b'"videos"', 'no list|not a YouTube-VIS'),
}


@pytest.mark.parametrize('name', BYTES)
@pytest.mark.parametrize('file', ['annotations', 'results'])
def test_what_is_no_such_file_is_told_in_one_line(files, name, file):
    data, text = BYTES[name]
    at = files(**{file: data})
    for reader in OF_ANNOTATIONS if file == 'annotations' else OF_RESULTS:
        line = complaint(reader, at)
        assert at[file] in line and re.search(text, line), (reader, line)


def with_texts_as_ids(annotations, results):
    for entry in annotations['videos']:
        entry['id'] = f'00{entry["id"]}'
    for entry in annotations['annotations']:
        entry['video_id'] = f'00{entry["video_id"]}'
    for entry in results:
        entry['video_id'] = f'00{entry["video_id"]}'


def with_texts_as_category_ids(annotations, results):
    for entry in annotations['categories']:
        entry['id'] = f'c{entry["id"]}'
    for entry in (*annotations['annotations'], *results):
        entry['category_id'] = f'c{entry["category_id"]}'


def of_all_annotations(**values):
    def change(annotations, results):
        for entry in annotations['annotations']:
            entry.update(values)

    return change


def with_odd_names(annotations, results):
    annotations['categories'][0]['name'] = '[/b] $\\frac 😀'
    annotations['categories'][1]['name'] = ''


def with_large_ids(annotations, results):
    for entry in annotations['annotations']:
        entry['id'] += 900_100_000_000


def without_ids(annotations, results):
    for entry in annotations['annotations']:
        del entry['id']


def with_empty_lists(annotations, results):
    for entry in (*annotations['annotations'], *results):
        entry['segmentations'] = [mask or [] for mask in entry['segmentations']]


def with_several_kinds(annotations, results):
    for entry in (*annotations['annotations'], *results):
        whole = dict(size=[HEIGHT, WIDTH], counts=[0, HEIGHT * WIDTH])
        entry['segmentations'] = [square(2, 2), [[2, 2, 20, 2, 20, 12]], whole]


USABLE = {
    'texts as ids of videos': with_texts_as_ids,
    'texts as ids of categories': with_texts_as_category_ids,
    'ids beyond 31 bits': with_large_ids,
    'annotations without ids': without_ids,
    'empty lists where nothing is seen': with_empty_lists,
    'masks of several kinds': with_several_kinds,
    'odd names': with_odd_names,
    **{f'iscrowd {v!r}': of_all_annotations(iscrowd=v) for v in (False, '0', 0.0, None)},
    **{
        f'areas {v!r}': of_all_annotations(areas=v)
        for v in (None, 5.0, 'abc', {}, [], [1], [NAN, 1, 1], ['1', '2', '3'], [-1, 1, 1])
    },
}


@pytest.mark.parametrize('name', USABLE)
def test_what_people_bring_and_is_clear_is_taken(files, name):
    annotations, results = make_annotations(), make_results()
    USABLE[name](annotations, results)
    at = files(annotations, results)
    for reader in READERS:
        outcome = read(reader, at)
        assert outcome.code == 0, (reader, outcome)
    scores = json.loads(Path(at['out'], 'eval.json').read_text())
    assert (scores['AP'], scores['AP_s'], scores['num_tracks']) == pytest.approx((1, 1, 2))
    coco = json.loads(Path(at['out'], 'coco.json').read_text())
    assert [entry['iscrowd'] for entry in coco['annotations']] == [0] * len(coco['annotations'])


@pytest.mark.parametrize('value', [1, True, '1', 1.0])
def test_a_crowd_is_one_however_it_is_written(files, value):
    annotations = make_annotations()
    annotations['annotations'][0]['iscrowd'] = value
    at = files(annotations)
    for reader in READERS:
        assert read(reader, at).code == 0, reader
    classes = json.loads(Path(at['out'], 'eval.json').read_text())['per_class']
    assert (classes['cat']['AP'], classes['dog']['AP']) == pytest.approx((-1, 1))
    coco = json.loads(Path(at['out'], 'coco.json').read_text())
    assert [entry['iscrowd'] for entry in coco['annotations']] == [1, 0, 0]


@pytest.mark.parametrize('polygon', [POLYGON, POLYGON[0]], ids=['in a list', 'flat'])
def test_polygons_are_taken_in_annotations_and_results(files, polygon):
    annotations, results = make_annotations(), make_results()
    for entry in (*annotations['annotations'], *results):
        entry['segmentations'] = [polygon, None, polygon]
    for entry in annotations['annotations']:
        del entry['bboxes'], entry['areas']
    at = files(annotations, results)
    for reader in READERS:
        line = complaint(reader, at)
        assert not line or (reader == 'shuffle' and 'its masks are no RLE' in line)
    assert json.loads(Path(at['out'], 'eval.json').read_text())['AP'] == pytest.approx(1)
    coco = json.loads(Path(at['out'], 'coco.json').read_text())
    assert {entry['area'] for entry in coco['annotations']} == {180}


@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16', 'utf-32'])
def test_other_encodings_are_read(files, encoding):
    annotations = make_annotations()
    annotations['categories'][0]['name'] = 'Kätzchen'
    data = [
        json.dumps(x, ensure_ascii=False).encode(encoding) for x in (annotations, make_results())
    ]
    at = files(*data)
    for reader in READERS:
        assert read(reader, at).code == 0, reader
    assert 'Kätzchen' in json.loads(Path(at['out'], 'eval.json').read_text())['per_class']
