"""Outputs for tables and tools in which people correct: what comes back is what was written."""

import base64
import csv
import io
import json
import zipfile
import zlib
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_util

from mmvis_cl.datasets.converters.cvat_video import read_cvat
from mmvis_cl.datasets.converters.label_studio import read_label_studio
from mmvis_cl.datasets.converters.mots_text import read_mots_text
from mmvis_cl.datasets.converters.object_classes import MOTSClasses
from mmvis_cl.datasets.video_source import open_source
from mmvis_cl.errors import InputError
from mmvis_cl.outputs.csv_output import COLUMNS, CSVOutput
from mmvis_cl.outputs.cvat_output import CVATOutput
from mmvis_cl.outputs.fiftyone_output import FiftyOneOutput
from mmvis_cl.outputs.label_studio_output import LabelStudioOutput
from mmvis_cl.outputs.mots_output import MOTSOutput
from mmvis_cl.structures import FrameResult, encode_masks

ROOT = Path(__file__).parents[2]
DATA = ROOT / 'tests/data'
SIZE = 40, 60
NAMES = ['a "quoted" <class> & more', 'comma, newline\nin it', 'Straße ☂']


def masks_of(frame):
    """Of three identities: one with a hole and two pieces, one that goes and returns, a pixel."""
    masks = {}
    pieces = np.zeros(SIZE, np.uint8)
    cv2.circle(pieces, (15 + frame, 15), 10, 1, -1)
    cv2.circle(pieces, (15 + frame, 15), 4, 0, -1)
    pieces[30:38, 40:55] = 1
    pieces[33, 44] = 0
    masks[7] = pieces
    if frame not in (2, 3):
        moved = np.zeros(SIZE, np.uint8)
        cv2.ellipse(moved, (40, 14 + frame), (9, 6), 20, 0, 360, 1, -1)
        masks[2] = moved
    if frame == 4:
        masks[9] = np.zeros(SIZE, np.uint8)
        masks[9][0, 59] = 1
    return masks


LABELS = {7: 0, 2: 1, 9: 2}
FRAMES = range(3, 9)  # the tracking began at the source's frame 3


def results(empty=()):
    for number in FRAMES:
        masks = {} if number in empty else masks_of(number - 3)
        ids = list(masks)
        boxes = [mask_util.toBbox(mask_util.encode(np.asfortranarray(m))) for m in masks.values()]
        yield FrameResult(
            index=number,
            time=number / 6,
            image=np.zeros((*SIZE, 3), np.uint8),
            identities=np.array(ids, np.int64),
            labels=np.array([LABELS[i] for i in ids], np.int64),
            classes=[NAMES[LABELS[i]] for i in ids],
            scores=np.linspace(0.5, 0.9, len(ids), dtype=np.float32),
            bboxes=np.array([[x, y, x + w, y + h] for x, y, w, h in boxes], np.float32).reshape(
                -1, 4
            ),
            rles=encode_masks(np.stack(list(masks.values())) > 0) if masks else [],
        )


def written(output, empty=()):
    with output:
        for frame in results(empty):
            output.write(frame)
    assert [p for p in output.path.parent.iterdir() if p.name.endswith('.part')] == []
    return output.path


@pytest.fixture
def images(tmp_path):
    """All frames of the source, by their numbers."""
    folder = tmp_path / 'images' / 'walk'
    folder.mkdir(parents=True)
    for number in range(FRAMES[-1] + 1):
        cv2.imwrite(str(folder / f'{number:06}.png'), np.zeros((*SIZE, 3), np.uint8))
    return folder


def test_a_table(tmp_path):
    path = written(CSVOutput(tmp_path / 'a.csv', NAMES), empty=[5])
    with open(path, newline='', encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    expected = [(n, i, m) for n in FRAMES if n != 5 for i, m in masks_of(n - 3).items()]
    assert len(rows) == len(expected)
    for row, (number, identity, mask) in zip(rows, expected, strict=True):
        assert (int(row['frame']), int(row['identity'])) == (number, identity)
        assert row['class'] == NAMES[LABELS[identity]]
        assert float(row['time']) == pytest.approx(number / 6, abs=1e-6)
        rle = dict(size=[int(row['height']), int(row['width'])], counts=row['rle'])
        np.testing.assert_array_equal(mask_util.decode(rle), mask)
        assert int(row['area']) == mask.sum()


def assert_masks_equal(video, of_frame=lambda index: index, least_iou=1.0):
    """Of a video that was read back; the frames of the source from its first on."""
    expected = {}
    for number in FRAMES:
        for identity, mask in masks_of(number - 3).items():
            expected.setdefault(identity, {})[number] = mask
    assert len(video.tracks) == len(expected)
    found = [
        {of_frame(index): mask_util.decode(rle) for index, rle in track.masks.items()}
        for track in video.tracks
    ]
    for masks in expected.values():
        (same,) = [track for track in found if track.keys() == masks.keys()]
        for number, mask in masks.items():
            both = (same[number] & mask).sum() / (same[number] | mask).sum()
            assert both >= least_iou, (number, both)


def test_masks_for_cvat_and_back_exactly(tmp_path, images):
    """By our converter, from the zip as it is; each mask has its identity with it."""
    path = written(CVATOutput(tmp_path / 'a.zip', NAMES, 'walk', shapes='masks'))
    annotations = read_cvat([path], images)
    assert [c['name'] for c in annotations.categories] == NAMES
    (video,) = annotations.videos
    assert_masks_equal(video, lambda index: FRAMES[index])
    labels = {len(track.masks): track.category_id for track in video.tracks}
    assert labels == {6: 1, 4: 2, 1: 3}
    # CVAT keeps the first shape of a track of masks and forgets its group
    tracks = xml_of(path).findall('track')
    assert all(len(track) == 1 for track in tracks)
    mended = tracks[0].find('mask/attribute')
    assert (mended.get('name'), mended.text) == ('identity', '7')


def test_an_identity_that_was_mended_in_cvat(tmp_path, images):
    """The mask goes to the object whose number it is given."""
    path = written(CVATOutput(tmp_path / 'a.zip', NAMES, 'walk', shapes='masks'))
    root = xml_of(path)
    moved = [t.find('mask') for t in root.findall('track') if t.find('mask/attribute').text == '2']
    moved[0].find('attribute').text = '11'
    (tmp_path / 'a.xml').write_bytes(ElementTree.tostring(root))
    (video,) = read_cvat([tmp_path / 'a.xml'], images).videos
    assert sorted(len(track.masks) for track in video.tracks) == [1, 1, 3, 6]


def xml_of(path):
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ['annotations.xml']
        return ElementTree.fromstring(archive.read('annotations.xml'))


def test_polygons_for_cvat_and_back(tmp_path, images):
    """Tracks, outside where they are not seen; pieces of an identity are a group."""
    path = written(CVATOutput(tmp_path / 'a.zip', NAMES, 'walk'))
    root = xml_of(path)
    tracks = root.findall('track')
    assert len(tracks) == 4  # two pieces of the first identity
    assert [track.get('group_id') for track in tracks] == ['1', '1', None, None]
    outside = [int(s.get('frame')) for s in tracks[2] if s.get('outside') == '1']
    assert outside == [5] and [int(s.get('frame')) for s in tracks[2]] == [3, 4, 5, 7, 8]
    # what CVAT's importer asks of each shape
    for shape in root.iter('polygon'):
        assert {'frame', 'keyframe', 'points'} <= set(shape.attrib)
    annotations = read_cvat([path], images)
    assert_masks_equal(annotations.videos[0], lambda index: FRAMES[index], least_iou=0.97)
    assert [c['name'] for c in annotations.categories] == NAMES
    assert any('1 objects are groups' in note for note in annotations.notes)
    (video,) = read_cvat([path], images, identity='track').videos
    assert len(video.tracks) == 4


def shapes_seen(root):
    """Of the XML: frame, track, label, group, outside and corners of each shape."""
    return sorted(
        [
            int(shape.get('frame')),
            int(track.get('id')),
            track.get('label'),
            int(track.get('group_id', 0)),
            shape.get('outside') == '1',
            [float(n) for pair in shape.get('points').split(';') for n in pair.split(',')],
        ]
        for track in root.findall('track')
        for shape in track.findall('polygon')
    )


def shapes_by_datumaro(path):
    """The same, as datumaro's importer of CVAT's format reads it."""
    datumaro = pytest.importorskip('datumaro', reason='datumaro is not installed')
    found = datumaro.Dataset.import_from(str(path), 'cvat')
    labels = found.categories()[datumaro.AnnotationType.label]
    return sorted(
        [
            item.attributes['frame'],
            shape.attributes['track_id'],
            labels[shape.label].name,
            shape.group,
            shape.attributes['outside'],
            [float(n) for n in shape.points],
        ]
        for item in found
        for shape in item.annotations
    )


def test_polygons_by_datumaro(tmp_path):
    root = xml_of(written(CVATOutput(tmp_path / 'a.zip', NAMES, 'walk')))
    (tmp_path / 'a.zip').unlink()
    (tmp_path / 'annotations.xml').write_bytes(ElementTree.tostring(root))
    assert shapes_by_datumaro(tmp_path) == shapes_seen(root)


def test_polygons_that_datumaro_has_read(tmp_path):
    """The file is still the one of which datumaro 1.13.12 gave this; it needs other packages."""
    root = xml_of(written(CVATOutput(tmp_path / 'a.zip', NAMES, 'walk')))
    assert shapes_seen(root) == json.loads((DATA / 'cvat_by_datumaro.json').read_text())


def test_label_studio_and_back_exactly(tmp_path, images):
    """The masks ride along with the boxes, at the frames where they are seen, and no others."""
    path = written(LabelStudioOutput(tmp_path / 'a.json', NAMES, 'walk.mp4', 6.0))
    annotations = read_label_studio(path, images, classes=NAMES)
    assert_masks_equal(annotations.videos[0])
    assert annotations.notes == []
    ((result, *_),) = (a['result'] for a in json.loads(path.read_text())[0]['annotations'])
    assert result['type'] == 'videorectangle' and result['value']['labels'] == [NAMES[0]]
    assert (result['value']['framesCount'], result['value']['duration']) == (9, 1.5)


def test_boxes_that_were_mended_in_label_studio(tmp_path, images):
    """A box that was moved is a box again; an identity that was cut in two is two."""
    path = written(LabelStudioOutput(tmp_path / 'a.json', NAMES, 'walk.mp4', 6.0))
    content = json.loads(path.read_text())
    region = content[0]['annotations'][0]['result'][0]
    keyframe = region['value']['sequence'][2]  # of frame 6 there, 5 here
    keyframe.update(x=10, y=20, width=50, height=40)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"region 'identity-7', frame 6: is a box that was moved"):
        read_label_studio(path, images)
    annotations = read_label_studio(path, images, boxes='fill')
    assert annotations.notes == ['1 boxes were taken as masks']
    track = annotations.videos[0].tracks[0]
    assert mask_util.toBbox(track.masks[5]).tolist() == [6, 8, 30, 16]
    assert mask_util.area(track.masks[5]) == 30 * 16
    np.testing.assert_array_equal(mask_util.decode(track.masks[4]), masks_of(1)[7])
    (video,) = read_label_studio(path, images, boxes='skip').videos
    assert sorted(video.tracks[0].masks) == [3, 4, 6, 7, 8]
    keyframe['rle'] = 'no rle'
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match='frame 6'):
        read_label_studio(path, images)


def test_label_studio_by_its_own_library(tmp_path):
    interface = pytest.importorskip(
        'label_studio_sdk.label_interface', reason='label-studio-sdk is not installed'
    )
    path = written(LabelStudioOutput(tmp_path / 'a.json', ['a', 'b', 'c'], 'walk.mp4', 6.0))
    (task,) = json.loads(path.read_text())
    labels = ''.join(f'<Label value="{name}"/>' for name in 'abc')
    config = (
        '<View><Video name="video" value="$video"/><VideoRectangle name="box" toName="video"/>'
        f'<Labels name="label" toName="video">{labels}</Labels></View>'
    )
    assert interface.LabelInterface(config).validate_annotation(task['annotations'][0])


def test_mots_and_back(tmp_path, images):
    """Masks of a frame have no pixel in common; the better score has it."""
    path = written(MOTSOutput(tmp_path / 'walk.txt'))
    lines = [line.split(' ') for line in path.read_text().splitlines()]
    assert {int(line[1]) // 1000 for line in lines} == {1, 2, 3}
    classes = MOTSClasses(['one', 'two', 'three'])
    (video,) = read_mots_text(path, images.parent, classes).videos
    for track in video.tracks:
        for number, rle in track.masks.items():
            masks = masks_of(number - 3)
            own = {1: 7, 2: 2, 3: 9}[track.category_id]
            expected = masks[own].copy()
            for better in list(masks)[list(masks).index(own) + 1 :]:  # scores rise
                expected[masks[better] > 0] = 0
            np.testing.assert_array_equal(mask_util.decode(rle), expected)
    assert [len(t.masks) for t in sorted(video.tracks, key=lambda t: t.category_id)] == [6, 4, 1]


def test_mots_by_the_fields_own_reader(tmp_path):
    """trackeval's, which refuses masks that overlap; it knows two classes."""
    trackeval = pytest.importorskip('trackeval', reason='trackeval is not installed')
    for folder in ('gt/label_02', 'tracked/ours/data'):
        (tmp_path / folder).mkdir(parents=True)
    results_of_two = (frame.above(-1) for frame in results())
    with MOTSOutput(tmp_path / 'tracked/ours/data/walk.txt') as output:
        for frame in results_of_two:
            keep = frame.labels < 2
            frame.index -= FRAMES[0]
            for name in ('identities', 'labels', 'scores', 'bboxes'):
                setattr(frame, name, getattr(frame, name)[keep])
            frame.rles = [rle for rle, kept in zip(frame.rles, keep, strict=True) if kept]
            output.write(frame)
    text = output.path.read_text()
    (tmp_path / 'gt/label_02/walk.txt').write_text(text)
    data = trackeval.datasets.KittiMOTS(
        dict(
            trackeval.datasets.KittiMOTS.get_default_dataset_config(),
            GT_FOLDER=str(tmp_path / 'gt'),
            TRACKERS_FOLDER=str(tmp_path / 'tracked'),
            SEQ_INFO=dict(walk=len(FRAMES)),
            SPLIT_TO_EVAL='training',
            PRINT_CONFIG=False,
        )
    ).get_raw_seq_data('ours', 'walk')
    for number, (ids, masks) in enumerate(
        zip(data['tracker_ids'], data['tracker_dets'], strict=True)
    ):
        expected = masks_of(number)
        assert set(ids.tolist()) == {1001} | ({2001} if 2 in expected else set())
        of = dict(zip(ids.tolist(), masks, strict=True))
        if 2 in expected:
            np.testing.assert_array_equal(mask_util.decode(of[2001]), expected[2])


def test_a_tenth_class_is_no_region_to_ignore(tmp_path, images):
    """Of the class 10, the object 10000 alone is one."""
    names = [f'class {number}' for number in range(12)]
    with MOTSOutput(tmp_path / 'walk.txt') as output:
        for frame in results():
            frame.labels = frame.labels + 9
            output.write(frame)
    (video,) = read_mots_text(output.path, images.parent, MOTSClasses(names)).videos
    assert sorted(track.category_id for track in video.tracks) == [10, 11, 12]


@pytest.mark.parametrize('from_file', [False, True])
def test_fiftyone(tmp_path, from_file):
    """A folder that its importer reads, with a video of the frames, or the video itself."""
    source = tmp_path / 'a "walk" ☂.mkv'
    source.write_bytes(b'a video')
    path = written(
        FiftyOneOutput(tmp_path / 'out', NAMES, source.stem, 6.0, source if from_file else None)
    )
    ((video, labels),) = (
        (path / record['data'], json.loads((path / record['labels']).read_text()))
        for record in json.loads((path / 'manifest.json').read_text())['index']
    )
    if from_file:
        assert video.read_bytes() == b'a video' and video.name == source.name
    else:
        with open_source(video) as frames:
            assert sum(1 for _ in frames) == len(FRAMES)
    first = FRAMES[0] + 1 if from_file else 1
    assert list(labels['frames']) == [str(first + n) for n in range(len(FRAMES))]
    for number, frame in enumerate(labels['frames'].values()):
        assert frame['attrs']['attrs'][0]['value'] == FRAMES[number]
        for thing in frame['objects']['objects']:
            mask = masks_of(number)[thing['index']]
            x, y, w, h = mask_util.toBbox(mask_util.encode(np.asfortranarray(mask)))
            corner = thing['bounding_box']['top_left']
            assert (corner['x'] * SIZE[1], corner['y'] * SIZE[0]) == pytest.approx((x, y))
            packed = zlib.decompress(base64.b64decode(thing['mask']))
            crop = np.load(io.BytesIO(packed))
            np.testing.assert_array_equal(crop, mask[int(y) : int(y + h), int(x) : int(x + w)] > 0)
            assert thing['label'] == NAMES[LABELS[thing['index']]]


def test_fiftyone_by_its_own_importer(tmp_path):
    """It needs no database, unlike the app."""
    importers = pytest.importorskip('fiftyone.utils.data', reason='fiftyone is not installed')
    path = written(FiftyOneOutput(tmp_path / 'out', NAMES, 'walk', 6.0))
    importer = importers.FiftyOneVideoLabelsDatasetImporter(str(path))
    importer.setup()
    ((video, _, _, frames),) = list(importer)
    assert Path(video) == path / 'data/walk.mp4'
    assert sorted(frames) == [n + 1 for n in range(len(FRAMES))]
    for number, frame in frames.items():
        masks = masks_of(number - 1)
        (name,) = (n for n, v in frame.items() if hasattr(v, 'detections'))
        for found in frame[name].detections:
            mask = masks.pop(found.index)
            assert found.mask.sum() == mask.sum() and found.label == NAMES[LABELS[found.index]]
        assert not masks


def test_more_objects_than_the_format_has_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr('mmvis_cl.outputs.mots_output.OF_A_CLASS', 2)
    with (
        pytest.raises(InputError, match='numbers for 1 objects of'),
        MOTSOutput(tmp_path / 'a.txt') as output,
    ):
        for number, frame in enumerate(results()):
            frame.identities = frame.identities + 100 * number
            output.write(frame)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    'make',
    [
        lambda folder: CSVOutput(folder / 'a.csv', NAMES),
        lambda folder: MOTSOutput(folder / 'a.txt'),
        lambda folder: CVATOutput(folder / 'a.zip', NAMES, 'walk'),
        lambda folder: CVATOutput(folder / 'a.zip', NAMES, 'walk', 'masks'),
        lambda folder: LabelStudioOutput(folder / 'a.json', NAMES, 'walk', 6.0),
    ],
)
def test_no_frame_and_a_video_without_objects(tmp_path, make):
    """A whole file each time; nothing is left of what is discarded."""
    (tmp_path / 'one').mkdir(), (tmp_path / 'two').mkdir(), (tmp_path / 'three').mkdir()
    assert written(make(tmp_path / 'one'), empty=FRAMES).stat().st_size >= 0
    with make(tmp_path / 'two') as output:
        pass
    assert output.path.exists()
    with pytest.raises(ZeroDivisionError), make(tmp_path / 'three') as output:
        output.write(next(results()))
        raise ZeroDivisionError
    assert not list((tmp_path / 'three').iterdir())
