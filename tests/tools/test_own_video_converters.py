"""The converters from CVAT, COCO-video and mask PNGs on the command line."""

import json
import os
import runpy
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image
from pycocotools import mask as mask_utils

from mmvis_cl.evaluation import evaluate_tracks
from mmvis_cl.registry import DATASETS, METRICS

ROOT = Path(__file__).parents[2]
XML = """<annotations><version>1.1</version><meta><task><id>1</id><name>clip{n}</name>
<size>2</size><labels><label><name>car</name></label><label><name>bus</name></label></labels>
<original_size><width>30</width><height>20</height></original_size></task></meta>
<track id="0" label="car"><polygon frame="0" keyframe="1" outside="0" occluded="0"
points="2,2;8,2;8,6;2,6" z_order="0"/><polygon frame="1" keyframe="0" outside="0" occluded="0"
points="4,2;10,2;10,6;4,6" z_order="0"/></track></annotations>"""


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs a tool in ``tmp_path``; gives the exit code."""

    def call(tool, *arguments):
        monkeypatch.setattr('sys.argv', [tool, *map(str, arguments)])
        try:
            path = ROOT / 'tools' / 'dataset_converters' / f'{tool}_to_vis.py'
            runpy.run_path(str(path), run_name='__main__')
        except SystemExit as ended:
            return ended.code
        return 0

    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        Path(f'clip{number}.xml').write_text(XML.format(n=number))
        folder = Path('frames') / f'clip{number}'
        folder.mkdir(parents=True)
        for t in range(2):
            Image.new('RGB', (30, 20), (90, 30, 200)).save(folder / f'{t}.jpg')
    return call


def test_from_cvat_to_a_training(run, capsys):
    out = 'my data'
    code = run('cvat', 'clip1.xml', 'clip2.xml', '--frames', 'frames', '--out', out,
               '--val-fraction', '0.5')  # fmt: skip
    printed = capsys.readouterr()
    assert code == 0 and 'note' not in printed.err
    for file in ('train.json', 'valid.json'):  # videos, frames, tracks, masks
        assert f'{out}/{file} 1 2 1 2' in ' '.join(printed.out.split())
    assert '2 classes: car, bus' in printed.out
    content = json.loads(Path(out, 'train.json').read_text())
    (track,) = content['annotations']
    assert track['bboxes'] == [[2, 2, 6, 4], [4, 2, 6, 4]] and track['areas'] == [24, 24]

    command = shlex.split(printed.out.splitlines()[-1])
    assert command == [
        'python', 'tools/train.py', f'{out}/my_data.py', '--cfg-options', 'load_from=CHECKPOINT'
    ]  # fmt: skip
    config = Config.fromfile(command[2])
    assert config.model.detector.backbone.depth == 50
    for split, test_mode in (('train', False), ('val', True), ('test', True)):
        dataset = config[f'{split}_dataloader'].dataset
        built = DATASETS.build(dict(dataset, type='mmvis_cl.VISDataset', pipeline=[]))
        assert built.metainfo['classes'] == ('car', 'bus') and built.test_mode == test_mode
        assert built.get_data_info(0)['video_length'] == 2
    assert config.model.detector.bbox_head.num_classes == 2
    assert not config.val_evaluator.format_only
    evaluator = METRICS.build(dict(config.val_evaluator, type='mmvis_cl.VISMetric'))
    assert os.path.samefile(evaluator.ann_file, Path(out, 'valid.json'))
    # what a test writes is this data set's own, wherever it is run
    assert os.path.samefile(Path(evaluator.outfile_prefix).parent, out)
    assert not config.test_evaluator.outfile_prefix.startswith('work_dirs')


def test_the_splits_one_after_the_other(run, capsys):
    options = ['--frames', 'frames', '--out', 'data']
    assert run('cvat', 'clip1.xml', *options) == 0
    printed = capsys.readouterr().out
    assert 'data/valid.json is not there' in printed and 'tools/train.py' not in printed
    assert run('cvat', 'clip2.xml', *options, '--split', 'valid') == 0
    assert 'tools/train.py' in capsys.readouterr().out
    config = Path('data/data.py')
    config.write_text(config.read_text() + 'max_iters = 7\n')
    assert run('cvat', 'clip2.xml', *options, '--split', 'test') == 2
    shutil.move('frames/clip2', 'frames/other')
    Path('clip2.xml').write_text(XML.format(n=2).replace('clip2', 'other'))
    assert run('cvat', 'clip2.xml', *options, '--split', 'test') == 0
    assert config.read_text().endswith('max_iters = 7\n')  # left as the user changed it
    assert len(list(Path('data/JPEGImages').iterdir())) == 3


@pytest.mark.parametrize('out', ["it's", 'x' * 250, 'ü' * 120, '-'])
def test_folders_of_odd_names(run, out):
    assert run('cvat', 'clip1.xml', '--frames', 'frames', f'--out={out}') == 0
    (path,) = Path(out).glob('*.py')
    config = Config.fromfile(path)
    assert Path(config.val_evaluator.ann_file) == Path(out).resolve() / 'valid.json'


def test_outputs_are_looked_at_before_the_work(run, capsys, monkeypatch):
    """The annotations, which may take long, are not even opened."""
    Path('file').touch()
    for out, message in (('file', 'file: is a file'), ('y' * 300, 'too long')):
        assert run('cvat', 'absent.xml', '--frames', 'frames', '--out', out) == 2
        assert message in capsys.readouterr().err


def test_from_label_studio(run, capsys):
    box = dict(frame=2, enabled=True, x=10, y=10, width=50, height=40, rotation=0, time=0.1)
    region = dict(type='videorectangle', value=dict(sequence=[box], labels=['cat']))
    task = dict(id=1, data=dict(video='s3://b/clip1.mp4'), annotations=[dict(result=[region])])
    Path('project.json').write_text('\ufeff' + json.dumps([task]), encoding='utf-8')
    options = ['project.json', '--frames', 'frames', '--out', 'data', '--classes', 'dog', 'cat']
    assert run('label_studio', *options) == 2
    assert '--boxes fill' in capsys.readouterr().err
    assert run('label_studio', *options, '--boxes', 'fill') == 0
    assert '2 classes: dog, cat' in capsys.readouterr().out
    (track,) = json.loads(Path('data/train.json').read_text())['annotations']
    assert (track['category_id'], track['areas']) == (2, [None, 15 * 8])


def test_from_coco_video(run, capsys):
    rle = mask_utils.encode(np.asfortranarray(np.eye(20, 30, dtype=np.uint8)))
    rle['counts'] = rle['counts'].decode()
    content = dict(
        videos=[dict(id=1, name='clip1')],
        images=[
            dict(id=t, video_id=1, frame_index=t, file_name=f'clip1/{t}.jpg', height=20, width=30)
            for t in range(2)
        ],
        annotations=[dict(id=1, image_id=1, track_id=4, category_id=8, segmentation=rle)],
        categories=[dict(id=8, name='line')],
    )
    Path('a.json').write_text(json.dumps(content))
    assert run('coco_video', 'a.json', '--frames', 'frames', '--out', 'data') == 0
    (track,) = json.loads(Path('data/train.json').read_text())['annotations']
    assert track['segmentations'] == [None, rle] and track['category_id'] == 8


def test_from_mask_pngs(run, capsys):
    shutil.move('frames', 'tree/JPEGImages')
    for number in (1, 2):
        folder = Path(f'tree/Annotations/clip{number}')
        folder.mkdir(parents=True)
        for t in range(2):
            Image.fromarray(np.full((20, 30), 2, np.uint8)).save(folder / f'{t}.png')
    Path('list.txt').write_text('clip2\n')
    options = ['--videos', 'list.txt', '--class', 'blob', '--out', 'data']
    assert run('mask_png', 'tree', *options) == 0
    assert '1 classes: blob' in capsys.readouterr().out
    content = json.loads(Path('data/train.json').read_text())
    assert content['videos'][0]['file_names'] == ['clip2/00000.jpg', 'clip2/00001.jpg']
    assert [track['areas'] for track in content['annotations']] == [[600, 600]]
    Path('c.csv').write_text('object,class\n2,ball\n')
    assert run('mask_png', 'tree', '--classes', 'c.csv', '--out', 'two') == 0
    assert '1 classes: ball' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['cvat', 'clip1.xml', '--identity', 'attribute:'], '--identity attribute:: unknown'),
        (['cvat', 'clip1.xml', '--val-fraction', '1'], '--val-fraction 1.0: must lie'),
        (['cvat', 'clip1.xml', '--val-fraction', '.5', '--split', 'test'], '--split is test'),
        (['cvat', 'clip1.xml', '--val-fraction', '.5'], '1 videos cannot be split'),
        (['cvat', 'absent.xml'], 'absent.xml: there is no such file'),
        (['coco_video', 'clip1.xml'], 'clip1.xml: not valid JSON'),
    ],
)
def test_one_line_and_no_traces(run, capsys, arguments, message):
    assert run(*arguments, '--frames', 'frames', '--out', 'data') == 2
    printed = capsys.readouterr()
    assert message in printed.err and printed.err.count('\n') == 1
    assert not Path('data').exists()


def test_from_mots_pngs(run, capsys):
    """As CVAT exports them: one video, with the names of its classes."""
    for t in range(2):
        values = np.zeros((20, 30), np.uint16)
        values[2:6, 2:8], values[10, 10], values[19] = 2000, 1003, 10000
        for kind, image in (('images', np.zeros((20, 30), np.uint8)), ('instances', values)):
            Path('default', kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(f'default/{kind}/frame_{t:06d}.png')
    Path('default/instances/labels.txt').write_text('cat\ndog\n')
    assert run('mask_png', 'default', '--out', 'plain') == 2
    assert 'give --mots' in capsys.readouterr().err and not Path('plain').exists()
    assert run('mask_png', 'default', '--mots', '--out', 'data') == 0
    printed = capsys.readouterr()
    assert '2 classes: cat, dog' in printed.out and 'note: ignore regions' in printed.err
    content = json.loads(Path('data/train.json').read_text())
    assert content['videos'][0]['file_names'][0] == 'default/00000.jpg'
    assert [(t['category_id'], t['areas']) for t in content['annotations']] == [
        (1, [1, 1]),
        (2, [24, 24]),
    ]
    options = ['--mots', '--ignore-regions', 'crowd', '--out', 'crowds']
    assert run('mask_png', 'default', *options) == 0
    tracks = json.loads(Path('crowds/train.json').read_text())['annotations']
    assert [t['areas'][0] for t in tracks if t['iscrowd']] == [30, 30]
    # a result in the ignore region is no false positive then
    results = [
        dict(video_id=1, score=0.9 if track['iscrowd'] else 0.5)
        | {key: track[key] for key in ('category_id', 'segmentations')}
        for track in tracks
    ]
    for folder, expected in (('data', 0.5), ('crowds', 1.0)):
        scores = evaluate_tracks(results, f'{folder}/train.json', progress=False)
        assert scores['AP'] == pytest.approx(expected, abs=0.01)
    Path('one.txt').write_text('cat\n')
    for more, message in (
        (['--mots', 'one.txt'], 'object 2000 of video'),
        (['--mots', '--binary'], '--binary: excludes'),
        (['--class-factor', '1'], '--class-factor 1: must be'),
        (['--class-factor', '0', '--mots'], '--class-factor 0 says'),
    ):
        assert run('mask_png', 'default', '--out', 'no', *more) == 2
        assert message in capsys.readouterr().err
    (Path('default/instances/labels.txt')).unlink()
    assert run('mask_png', 'default', '--out', 'no', '--class-factor', '100') == 2
    assert 'needs names' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['absent'], 'absent/JPEGImages: there is no such folder'),
        (['.', '--videos', 'absent.txt'], 'absent.txt: no such file'),
        (['.', '--videos', 'empty.txt'], 'empty.txt: is empty'),
        (['.', '--classes', 'empty.txt'], 'empty.txt: is empty; copy'),
    ],
)
def test_trees_that_are_none(run, capsys, arguments, message):
    Path('empty.txt').touch()
    assert run('mask_png', *arguments, '--out', 'data') == 2
    printed = capsys.readouterr()
    assert message in printed.err and printed.err.count('\n') == 1


def test_nothing_is_left_when_it_is_ended(tmp_path):
    """In the middle of the frames."""
    noise = np.random.default_rng(0).integers(0, 255, (600, 800, 3), np.uint8)
    mask = np.zeros((600, 800), np.uint8)
    mask[:9] = 1
    for kind, image in (('JPEGImages', noise), ('Annotations', mask)):
        folder = tmp_path / 'tree' / kind / 'clip'
        folder.mkdir(parents=True)
        Image.fromarray(image).save(folder / '0000.png')
        for t in range(1, 300):
            (folder / f'{t:04d}.png').symlink_to('0000.png')
    tool = ROOT / 'tools' / 'dataset_converters' / 'mask_png_to_vis.py'
    process = subprocess.Popen(
        [sys.executable, str(tool), 'tree', '--out', 'new/data'], cwd=tmp_path, stderr=-1, stdout=-1
    )
    place = tmp_path / 'new'
    while process.poll() is None and not list(place.glob('.unfinished-*/JPEGImages/clip/*')):
        time.sleep(0.1)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(
    'arguments',
    [
        ['cvat', 'LONG', '--frames', 'frames'],
        ['cvat', 'clip1.xml', '--frames', 'LONG'],
        ['coco_video', 'LONG', '--frames', 'frames'],
        ['coco_video', 'a.json', '--frames', 'LONG'],
        ['label_studio', 'LONG', '--frames', 'frames'],
        ['label_studio', 'b.json', '--frames', 'LONG', '--boxes', 'fill'],
        ['mask_png', 'LONG'],
        ['mask_png', '.', '--images', 'LONG', '--masks', 'frames'],
        ['mask_png', '.', '--images', 'frames', '--masks', 'LONG'],
        ['mask_png', '.', '--images', 'frames', '--masks', 'frames', '--videos', 'LONG'],
        ['mask_png', '.', '--images', 'frames', '--masks', 'frames', '--classes', 'LONG'],
        ['mask_png', '.', '--images', 'frames', '--masks', 'frames', '--mots', 'LONG'],
    ],
)
def test_paths_that_no_file_system_takes(run, capsys, arguments):
    image = dict(id=1, file_name='1.jpg', height=20, width=30)
    content = dict(images=[image], annotations=[], categories=[])
    Path('a.json').write_text(json.dumps(content))
    Path('b.json').write_text(json.dumps([dict(annotations=[dict(result=[])])]))
    words = ['x' * 300 if word == 'LONG' else word for word in arguments]
    assert run(*words, '--out', 'data') == 2
    printed = capsys.readouterr().err
    assert printed.startswith('error: ') and 'x' * 300 in printed and printed.count('\n') == 1
