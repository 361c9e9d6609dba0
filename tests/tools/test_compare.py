import json
import runpy
import shutil
import zipfile
from pathlib import Path

import av
import pytest
from PIL import Image

from mmvis_cl.datasets.converters.moving_shapes import make_moving_shapes

TOOL = Path(__file__).parents[2] / 'tools/visualization/compare.py'
LENGTH = 5


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Annotations, perfect results as .zip, and results without the last object as .json."""
    root = tmp_path_factory.mktemp('compare') / 'moving_shapes'
    make_moving_shapes(root, seed=2, train_videos=1, valid_videos=2, length=LENGTH)
    annotations = json.loads((root / 'valid.json').read_text())
    results = [
        {key: track[key] for key in ('video_id', 'category_id', 'segmentations')} | dict(score=0.9)
        for track in annotations['annotations']
    ]
    with zipfile.ZipFile(root / 'perfect.zip', 'w') as archive:
        archive.writestr('results.json', json.dumps(results))
    (root / 'lacking.json').write_text(json.dumps(results[:-1]))
    return root


def run(monkeypatch, data, *arguments):
    monkeypatch.chdir(data)
    monkeypatch.setattr('sys.argv', ['compare.py', *map(str, arguments)])
    runpy.run_path(str(TOOL), run_name='__main__')


def test_videos_and_counts(monkeypatch, capsys, data, tmp_path):
    inputs = 'valid.json', 'JPEGImages', tmp_path / 'out'
    results = '--results', 'all found=perfect.zip', 'lacking.json'
    run(monkeypatch, data, *inputs, *results, '--panel-width', 200)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    last = json.loads((data / 'valid.json').read_text())['annotations'][-1]
    misses = sum(area is not None for area in last['areas'])
    assert misses > 0
    assert ['all', 'found', '0', '0', '0', '0'] in lines
    assert ['lacking', '0', str(misses), '0', '0'] in lines
    assert {path.name for path in (tmp_path / 'out').iterdir()} == {
        'valid_0000.mp4',
        'valid_0001.mp4',
    }
    with av.open(str(tmp_path / 'out' / 'valid_0000.mp4')) as video:
        frames = list(video.decode(video=0))
    assert len(frames) == LENGTH
    assert frames[0].width == 3 * 200


def test_chosen_videos(monkeypatch, data, tmp_path):
    for name, wanted in (('by_id', 2), ('by_folder', 'valid_0001')):
        out = tmp_path / name
        arguments = ['--results', 'perfect.zip', '--videos', wanted, '--panel-width', 160]
        run(monkeypatch, data, 'valid.json', 'JPEGImages', out, *arguments)
        assert [path.name for path in out.iterdir()] == ['valid_0001.mp4']


def test_videos_in_one_folder_get_files_of_their_own(monkeypatch, data, tmp_path):
    annotations = json.loads((data / 'valid.json').read_text())
    (tmp_path / 'images').mkdir()
    for video in annotations['videos']:
        for i, name in enumerate(video['file_names']):
            video['file_names'][i] = f'images/{name.replace("/", "_")}'
            shutil.copy(data / 'JPEGImages' / name, tmp_path / video['file_names'][i])
    (tmp_path / 'flat.json').write_text(json.dumps(annotations))
    arguments = ['--results', 'perfect.zip', '--panel-width', 160]
    run(monkeypatch, data, tmp_path / 'flat.json', tmp_path, tmp_path / 'out', *arguments)
    assert {path.name for path in (tmp_path / 'out').iterdir()} == {'images_1.mp4', 'images_2.mp4'}


PERFECT = ('--results', 'perfect.zip')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (
            ('valid.json', 'nowhere', *PERFECT),
            'nowhere/valid_0000/00000.jpg: no such frame (5 of 5',
        ),
        (('train.json', 'JPEGImages', *PERFECT), 'video_id 2 is not in the annotations'),
        (('missing.json', 'JPEGImages', *PERFECT), 'missing.json: no such file'),
        (('perfect.zip', 'JPEGImages', *PERFECT), 'perfect.zip: not valid JSON'),
        (('valid.json', 'JPEGImages', '--results', 'a=x.json'), 'x.json: no such file'),
        (('valid.json', 'JPEGImages', '--results', '=lacking.json'), 'give it as NAME=FILE'),
        (('valid.json', 'JPEGImages', *PERFECT, 'perfect=lacking.json'), 'is called'),
        (
            ('valid.json', 'JPEGImages', *PERFECT, '--videos', '2', '77'),
            '--videos 77: valid.json has no video with this id or folder; it has 2: 1 (valid_0000)',
        ),
        (('valid.json', 'JPEGImages', *PERFECT, '--panel-width', '3'), '--panel-width 3'),
        (('valid.json', 'JPEGImages', *PERFECT, '--fps', '0'), 'fps must be above 0'),
    ],
)
def test_errors_are_one_line(monkeypatch, capsys, data, tmp_path, arguments, message):
    annotations, images, *rest = arguments
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, data, annotations, images, tmp_path / 'out', *rest)
    assert caught.value.code == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error: ')]
    assert len(errors) == 1 and message in errors[0]
    assert not list(tmp_path.glob('out/*'))


def test_frames_of_another_size(monkeypatch, capsys, data, tmp_path):
    annotations = json.loads((data / 'valid.json').read_text())
    shutil.copytree(data / 'JPEGImages', tmp_path / 'images')
    frame = tmp_path / 'images' / annotations['videos'][0]['file_names'][1]
    Image.new('RGB', (8, 8)).save(frame)
    with pytest.raises(SystemExit):
        run(monkeypatch, data, 'valid.json', tmp_path / 'images', tmp_path / 'out', *PERFECT)
    assert '00001.jpg: the frame is (8, 8) (h, w), but video 1 is (96, 160)' in (
        capsys.readouterr().err
    )
    frame.write_text('no image')
    with pytest.raises(SystemExit):
        run(monkeypatch, data, 'valid.json', tmp_path / 'images', tmp_path / 'out', *PERFECT)
    assert '00001.jpg: the image cannot be decoded' in capsys.readouterr().err
    assert not list((tmp_path / 'out').glob('*'))
