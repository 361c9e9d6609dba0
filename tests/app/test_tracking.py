"""A video that somebody sent: its outputs are those of mmvis-cl track, and only it is read."""

import json
import zipfile
from itertools import count

import av
import pytest
from PIL import Image
from small_tracker import write_walk
from small_videos import write_video

from mmvis_cl.apis import VISInferencer, open_source
from mmvis_cl.app.tracking import OUTPUTS, check_upload, track_upload
from mmvis_cl.cli import main
from mmvis_cl.errors import InputError


@pytest.fixture(scope='module')
def inferencer(tiny):
    return VISInferencer(*tiny, 'cpu')


@pytest.fixture(scope='module')
def walk(tmp_path_factory):
    return write_walk(tmp_path_factory.mktemp('walk') / 'my walk.mp4')


def test_outputs_are_those_of_the_command(inferencer, tiny, walk, tmp_path):
    *steps, last = track_upload(inferencer, walk, tmp_path, kinds=list(OUTPUTS), score_thr=0.5)
    assert steps[0].said.startswith('frame 1 of 5, ')
    assert steps[0].image.shape[2] == 3 and not steps[0].files
    assert last.said.startswith('5 frames, ') and list(last.files) == list(OUTPUTS)
    wanted = tmp_path / 'wanted'
    words = f'--config {tiny[0]} --weights {tiny[1]} --device cpu --score-thr 0.5'.split()
    for kind in ('json', 'coco', 'csv', 'mots', 'masks'):
        words += [f'--out-{kind}', str(wanted / f'my_walk{OUTPUTS[kind].ending}')]
    main(['track', str(walk), *words])
    for kind in ('json', 'coco', 'csv', 'mots'):
        assert last.files[kind].read_bytes() == (wanted / last.files[kind].name).read_bytes(), kind
    assert json.loads(last.files['json'].read_text())
    with zipfile.ZipFile(last.files['masks']) as packed:
        assert len(packed.namelist()) == 5
        for name in packed.namelist():
            with packed.open(name) as one, Image.open(one) as image, Image.open(wanted / name) as w:
                assert image.mode == w.mode and image.tobytes() == w.tobytes()
    with av.open(str(last.files['video'])) as container:
        assert sum(1 for _ in container.decode(video=0)) == 5


def test_what_is_left_out_is_said(inferencer, walk, tmp_path):
    *_, last = track_upload(inferencer, walk, tmp_path, kinds=['csv'], max_frames=3)
    assert 'only the first 3 frames' in last.said and last.said.startswith('3 frames')
    *_, last = track_upload(inferencer, walk, tmp_path, kinds=[], max_frames=5)
    assert 'only' not in last.said and last.files == {}


def test_what_was_done_before_a_stop_is_there(inferencer, walk, tmp_path):
    asked = count(1)
    *_, last = track_upload(
        inferencer, walk, tmp_path, kinds=['json'], stopped=lambda: next(asked) == 2
    )
    assert last.said.startswith('2 frames') and last.said.endswith('; stopped')
    tracks = json.loads(last.files['json'].read_text())
    assert {len(track['segmentations']) for track in tracks} == {2}


def test_one_who_leaves_leaves_nothing(inferencer, walk, tmp_path):
    kinds = [kind for kind in OUTPUTS if kind != 'masks']  # PNGs go with the folder
    steps = track_upload(inferencer, walk, tmp_path, kinds=kinds)
    next(steps)
    steps.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('name', 'text'),
    [
        ('list.m3u8', '#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n'),
        ('list.mp4', 'ffconcat version 1.0\nfile {.name}\n'),
    ],
)
def test_a_list_of_other_videos_is_none(tmp_path, name, text):
    """FFmpeg reads them, and would show videos of this machine."""
    secret = write_video(tmp_path / 'secret.ts')
    (tmp_path / name).write_text(text.format(secret))
    assert open_source(tmp_path / name).size == (48, 64)
    with pytest.raises(InputError, match=f'^{name}: is no video that is read here; send an MP4'):
        check_upload(tmp_path / name)


@pytest.mark.parametrize('ending', ['mp4', 'mov', 'mkv', 'avi', 'ts', 'flv', 'mpg', 'm4v'])
def test_videos_are_videos(tmp_path, ending):
    codec = 'mpeg2video' if ending == 'mpg' else 'libx264'
    check_upload(write_video(tmp_path / f'a.{ending}', codec=codec, fps=25))


def test_no_video_is_said_without_folders(tmp_path):
    (tmp_path / 'note.txt').write_text('no video')
    with pytest.raises(InputError, match=r'^note\.txt: is no video'):
        check_upload(tmp_path / 'note.txt')
