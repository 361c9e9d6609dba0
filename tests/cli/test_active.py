"""``mmvis-cl active``: what is asked for a look, and where it is written."""

import csv
import json
import shutil

import numpy as np
import pytest
from pycocotools import mask as mask_util

from mmvis_cl.cli.command_line import main
from mmvis_cl.many.manifest import read_manifest

SIZE = 60, 90


def square(x):
    mask = np.zeros(SIZE, np.uint8, order='F')
    mask[20:40, x : x + 20] = 1
    rle = mask_util.encode(mask)
    return dict(size=list(SIZE), counts=rle['counts'].decode())


def track(video_id, masks, score=0.95, category_id=1, category='a, "b"\nc'):
    return dict(
        video_id=video_id, score=score, category_id=category_id, category=category,
        segmentations=masks,
    )  # fmt: skip


def results():
    """A sure video, and one whose object is missed in frame 4 and is of two classes."""
    sure = [square(10 + frame) for frame in range(9)]
    missed = [None if frame == 4 else square(30 + frame) for frame in range(9)]
    return [
        track('sure', sure),
        track(7, missed, score=0.6),
        track(7, missed, score=0.4, category_id=2, category='other'),
    ]


def coco(name, start=0):
    """As ``--out-coco`` writes it, of a video that was tracked from a frame on."""
    images = [
        dict(id=n, video_id=1, frame_id=n, source_frame=n + start, height=SIZE[0], width=SIZE[1])
        for n in range(9)
    ]
    annotations = [
        dict(
            id=n, image_id=n, track_id=5, category_id=3, score=0.35 if n == 6 else 0.95,
            segmentation=square(10 + n),
        )
        for n in range(9)
    ]  # fmt: skip
    return dict(
        videos=[dict(id=1, name=name)],
        images=images,
        annotations=annotations,
        categories=[dict(id=3, name='cat')],
    )


@pytest.fixture
def files(tmp_path):
    (tmp_path / 'results.json').write_text(json.dumps(results()))
    (tmp_path / 'coco.json').write_text(json.dumps(coco('walk', start=100)))
    for name, source in (('a', 'videos/a.mp4'), ('b', 's3://bucket/b.mp4'), ('c', 'c.mp4')):
        folder = tmp_path / 'tracked' / 'videos' / name
        folder.mkdir(parents=True)
        record = dict(id=name, source=source, frames=9)
        (folder / 'record.json').write_text(json.dumps(record))
        (folder / 'results.json').write_text('[]')
    shutil.copy(tmp_path / 'coco.json', tmp_path / 'tracked/videos/b/coco.json')
    (tmp_path / 'tracked/videos/a/results.json').write_text(json.dumps(results()[:1]))
    return tmp_path


def test_a_result_file(files, capsys):
    out = files / 'look.csv'
    assert main(['active', str(files / 'results.json'), '--out', str(out), '--apart', '1']) == 0
    with open(out, newline='') as file:
        rows = list(csv.DictReader(file))
    assert {row['video'] for row in rows} == {'7'} and len(rows) == 9
    assert [row['rank'] for row in rows] == list(map(str, range(1, 10)))
    by_frame = {row['frame']: row for row in rows}
    assert by_frame['4']['reasons'] == 'gap: a, "b"\nc #1 for 1 frame'
    assert by_frame['3']['reasons'].startswith('two classes: a, "b"\nc #1 0.60, other 0.40; low')
    amounts = [float(row['doubt']) for row in rows]
    assert amounts == sorted(amounts, reverse=True)
    printed = capsys.readouterr().out
    assert printed.index('\n 7 ') < printed.index('\n sure ')
    assert '2 videos, 9 frames to look at' in printed


def test_scores_and_numbers_of_a_coco_file(files):
    out = files / 'look.json'
    assert main(['active', str(files / 'coco.json'), '--out', str(out)]) == 0
    content = json.loads(out.read_text())
    (video,) = content['videos']
    assert video['video'] == 'walk' and video['reasons'] == {'low score': 1}
    (frame,) = content['frames']
    assert frame['frame'] == 106
    assert frame['reasons'] == [dict(kind='low score', doubt=0.8571, text='cat #5 0.35')]


def test_a_folder_and_a_list_for_track_all(files):
    out, chosen = files / 'look.json', files / 'next.csv'
    words = ['active', str(files / 'tracked'), '--out', str(out), '--out-list', str(chosen)]
    assert main(words) == 0
    content = json.loads(out.read_text())
    assert [video['video'] for video in content['videos']] == ['c', 'b', 'a']
    assert content['videos'][0]['reasons'] == {'nothing was found': 1}
    (video,) = read_manifest(str(chosen))
    assert (video.id, video.source) == ('b', 's3://bucket/b.mp4')
    assert (video.start, video.max_frames) == (100, 9)


def test_the_first_ones(files):
    out = files / 'look.json'
    words = ['active', str(files / 'results.json'), '--out', str(out), '--apart', '1', '--top', '2']
    assert main(words) == 0
    content = json.loads(out.read_text())
    assert len(content['frames']) == 2 and len(content['videos']) == 2


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['{}/absent.json'], 'absent.json: no such file or folder; correct the path'),
        (['{}/results.json', '--top', '0'], '--top 0: at least 1 is needed; give that or more'),
        (['{}/results.json', '--score-thr', '2'], 'scores are 0 to 1; give one of them'),
        (
            ['{}/results.json', '--out', '{}/a.txt'],
            'neither .csv nor .json; give one of the two',
        ),
        (['{}/results.json', '--out-list', '{}/a.csv'], 'give a folder of mmvis-cl track-all'),
        (['{}/none.json'], 'is neither a result file nor one of --out-coco'),
        (['{}/empty'], 'has no videos/NAME/results.json; give a result file'),
        (['{}/no_score.json'], 'has no track_id or score; give a file of --out-coco'),
    ],
)
def test_bad_input_is_one_line(files, words, message, capsys):
    (files / 'none.json').write_text('{"a": 1}')
    (files / 'empty').mkdir()
    content = coco('walk')
    content['annotations'][3]['score'] = None
    (files / 'no_score.json').write_text(json.dumps(content))
    with pytest.raises(SystemExit) as ended:
        main(['active', *(word.format(files) for word in words)])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('error: ') and message in line


def test_no_result_at_all(tmp_path, capsys):
    (tmp_path / 'a.json').write_text('[]')
    assert main(['active', str(tmp_path / 'a.json'), '--out', str(tmp_path / 'a.csv')]) == 0
    assert (tmp_path / 'a.csv').read_text().strip() == 'rank,video,frame,doubt,reasons'
    assert '0 videos, 0 frames to look at' in capsys.readouterr().out
