"""Outputs for tables and tools in which people correct: what comes back is what was written."""

import csv
import json
import subprocess
import sys
import zipfile
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
from mmvis_cl.errors import InputError
from mmvis_cl.outputs.csv_output import COLUMNS, CSVOutput
from mmvis_cl.outputs.cvat_output import CVATOutput
from mmvis_cl.outputs.label_studio_output import LabelStudioOutput
from mmvis_cl.outputs.mots_output import MOTSOutput
from mmvis_cl.structures import FrameResult, encode_masks

ROOT = Path(__file__).parents[2]
SIZE = 40, 60
NAMES = ['a "quoted" <class> & more', 'comma, newline\nin it', 'Straße ☂']


def masks_of(frame):
    """Of three identities: one with a hole and two pieces, one that goes and returns, a pixel."""
    masks = {}
    pieces = np.zeros(SIZE, np.uint8)
    cv2.circle(pieces, (15 + frame, 15), 10, 1, -1)
    cv2.circle(pieces, (15 + frame, 15), 4, 0, -1)
    pieces[30:38, 40:55] = 1
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


def test_cvat_and_back_exactly(tmp_path, images):
    """By our converter, from the zip as it is."""
    path = written(CVATOutput(tmp_path / 'a.zip', NAMES, 'walk'))
    annotations = read_cvat([path], images)
    assert [c['name'] for c in annotations.categories] == NAMES
    (video,) = annotations.videos
    assert_masks_equal(video, lambda index: FRAMES[index])
    labels = {len(track.masks): track.category_id for track in video.tracks}
    assert labels == {6: 1, 4: 2, 1: 3}


def filled(mask):
    """Without its holes."""
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(mask.copy(), outlines, -1, 1, -1)


def test_polygons_are_tracks(tmp_path, images):
    """Outside where they are not seen; pieces of an identity are a group; holes are filled."""
    path = written(CVATOutput(tmp_path / 'a.zip', NAMES, 'walk', shapes='polygons'))
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ['annotations.xml']
        root = ElementTree.fromstring(archive.read('annotations.xml'))
    tracks = root.findall('track')
    assert len(tracks) == 4  # two pieces of the first identity
    assert [track.get('group_id') for track in tracks] == ['1', '1', '2', '3']
    outside = [int(s.get('frame')) for s in tracks[2] if s.get('outside') == '1']
    assert outside == [5] and [int(s.get('frame')) for s in tracks[2]] == [3, 4, 5, 7, 8]
    (video,) = read_cvat([path], images, identity='group').videos
    for track in video.tracks:
        for index, rle in track.masks.items():
            masks = [filled(m) for m in masks_of(index).values()]
            found = mask_util.decode(rle)
            best = max((found & m).sum() / (found | m).sum() for m in masks)
            assert best >= 0.97 or found.sum() == 1
    assert sorted(len(track.masks) for track in video.tracks) == [1, 4, 6]


def test_label_studio_and_back(tmp_path, images):
    """Boxes at the frames where they are seen, and no others."""
    names = ['one', 'two', 'three']
    path = written(LabelStudioOutput(tmp_path / 'a.json', names, 'walk.mp4', 6.0), empty=[5])
    annotations = read_label_studio(path, images, boxes='fill')
    (video,) = annotations.videos
    expected = {}
    for number in FRAMES:
        for identity, mask in ({} if number == 5 else masks_of(number - 3)).items():
            box = mask_util.toBbox(mask_util.encode(np.asfortranarray(mask)))
            expected.setdefault(identity, {})[number] = box
    assert len(video.tracks) == 3
    for boxes, track in zip(expected.values(), video.tracks, strict=True):
        assert track.masks.keys() == boxes.keys()
        for number, box in boxes.items():
            np.testing.assert_allclose(mask_util.toBbox(track.masks[number]), box, atol=1.01)


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
    """trackeval's, which refuses masks that overlap."""
    trackeval = pytest.importorskip('trackeval', reason='trackeval is not installed')
    assert trackeval
    path = written(MOTSOutput(tmp_path / 'walk.txt'))
    seen = {}
    for line in path.read_text().splitlines():
        frame, _, _, h, w, counts = line.split(' ')
        seen.setdefault(frame, []).append(dict(size=[int(h), int(w)], counts=counts.encode()))
    for rles in seen.values():
        assert mask_util.area(mask_util.merge(rles, intersect=True)) == 0 or len(rles) == 1


def test_more_objects_than_the_format_has_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr('mmvis_cl.outputs.mots_output.OF_A_CLASS', 1)
    with (
        pytest.raises(InputError, match='numbers for 1 objects'),
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


def test_the_converter_reads_the_zip(tmp_path, images):
    """As a user does it."""
    path = written(CVATOutput(tmp_path / 'a.zip', ['one', 'two', 'three'], 'walk'))
    tool = ROOT / 'tools' / 'dataset_converters' / 'cvat_to_vis.py'
    out = tmp_path / 'out'
    command = [sys.executable, str(tool), str(path), '--frames', str(images), '--out', str(out)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    content = json.loads((out / 'train.json').read_text())
    assert len(content['annotations']) == 3
