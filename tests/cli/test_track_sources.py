"""Several sources, other ids, pixels that are not square, sound, and what a threshold hides."""

import json
import os
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image
from small_videos import picture, write_video

from mmvis_cl.apis import VISInferencer


def entries(path):
    return json.loads(path.read_text())


@pytest.fixture
def folder(tmp_path, monkeypatch, video):
    """A video in two folders, and one that is none."""
    monkeypatch.chdir(tmp_path)
    for name in ('one', 'two'):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'walk.mp4').write_bytes(video.read_bytes())
    (tmp_path / 'broken.mp4').write_text('no video')
    return tmp_path


def test_several_sources_one_after_the_other(run, model, folder):
    sources = ('one/walk.mp4', 'broken.mp4', 'two/walk.mp4')
    code, _, err = run('track', *sources, *model, '--out-json', 'json', '--out-coco', 'coco')
    assert code == 2  # one is broken, the others are there
    lines = err.strip().splitlines()
    assert 'broken.mp4: cannot be read as a video' in lines[0] and lines[0].startswith('error: ')
    assert lines[-1] == '1 of 3 SOURCEs failed: broken.mp4'
    assert sorted(os.listdir('json')) == sorted(os.listdir('coco')) == ['walk.json', 'walk_2.json']
    first, second = (entries(folder / 'json' / name) for name in ('walk.json', 'walk_2.json'))
    assert {e['video_id'] for e in first} == {1} and {e['video_id'] for e in second} == {3}
    assert [e['segmentations'] for e in first] == [e['segmentations'] for e in second]
    code, _, _ = run('track', sources[0], *model, '--out-json', 'alone.json')
    assert code == 0 and entries(folder / 'alone.json') == first


def test_several_sources_without_an_output(run, model, folder):
    code, _, err = run('track', 'one/walk.mp4', 'two/walk.mp4', *model)
    assert code == 0, err
    assert os.path.isfile('walk_tracked.mp4') and os.path.isfile('walk_2_tracked.mp4')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['a.mp4', 'b.mp4', '--out-json', 'a.json'], 'is one file for 2 SOURCEs; give a folder'),
        (['1.jpg', '2.jpg', '3.jpg'], 'pattern in quotes'),
        (['a.mp4', 'b.mp4', '--show'], 'takes one SOURCE'),
        (['a.mp4', '--category-ids', 'x'], 'is no id; give a whole number'),
        (['a.mp4', '--category-ids', '3', '3'], 'has an id twice'),
        (['a.mp4', '--annotations', 'none.json'], 'there is no such file'),
        (['a.mp4', '--max-frames', '0'], 'at least 1 is needed'),
    ],
)
def test_wrong_arguments_for_several(run, model, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, _, err = run('track', *arguments, *model)
    assert code == 2 and message in err and err.count('\n') == 1
    assert os.listdir(tmp_path) == []


def test_categories_have_the_ids_of_the_data(run, model, video, tmp_path):
    classes = VISInferencer(model[1], model[3]).classes
    ids = [40, 7, 1000]
    categories = [dict(id=i, name=name) for i, name in zip(ids, classes, strict=True)][::-1]
    data = dict(videos=[], annotations=[], categories=categories)
    (tmp_path / 'data.json').write_text(json.dumps(data))
    named = [f'{name}={i}' for i, name in zip(ids, classes, strict=True)][::-1]
    found = []
    for options in (
        ['--annotations', tmp_path / 'data.json'],
        ['--category-ids', *ids],
        ['--category-ids', *named],
    ):
        out = ('--out-json', tmp_path / 'a.json', '--out-coco', tmp_path / 'coco.json')
        code, _, err = run('track', video, *model, *out, *options)
        assert code == 0, err
        found.append(entries(tmp_path / 'a.json'))
        assert {e['category_id'] for e in found[-1]} <= set(ids)
        for entry in found[-1]:
            assert ids[classes.index(entry['category'])] == entry['category_id']
        coco = entries(tmp_path / 'coco.json')
        assert {c['id']: c['name'] for c in coco['categories']} == dict(
            zip(ids, classes, strict=True)
        )
    assert found[0] == found[1] == found[2] and found[0]
    data['categories'] = categories[:-1]
    (tmp_path / 'data.json').write_text(json.dumps(data))
    code, _, err = run(
        *('track', video, *model, '--out-json', tmp_path / 'a.json'),
        *('--annotations', tmp_path / 'data.json'),
    )
    assert code == 2 and 'lack the class' in err


def test_a_checkpoint_of_ours_needs_no_config(run, model, video, tmp_path):
    import torch
    from mmengine.config import Config

    content = torch.load(model[3], map_location='cpu', weights_only=False)
    content.setdefault('meta', {})['cfg'] = Config.fromfile(model[1]).pretty_text
    torch.save(content, tmp_path / 'ours.pth')
    for arguments, name in ((model, 'a.json'), (['--weights', tmp_path / 'ours.pth'], 'b.json')):
        code, _, err = run('track', video, *arguments, '--out-json', tmp_path / name)
        assert code == 0, err
    assert entries(tmp_path / 'a.json') == entries(tmp_path / 'b.json')
    code, _, err = run('track', video, '--weights', model[3])
    assert code == 2 and 'has no config in it; give one with --config' in err


def test_pixels_that_are_not_square_stay_so(run, model, tmp_path):
    with av.open(str(tmp_path / 'wide.mp4'), 'w') as container:
        stream = container.add_stream('libx264', rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 64, 'yuv420p'
        stream.codec_context.sample_aspect_ratio = Fraction(64, 45)
        for t in range(3):
            frame = av.VideoFrame.from_ndarray(picture(t), format='rgb24')
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    out = tmp_path / 'out.mp4'
    code, _, err = run('track', tmp_path / 'wide.mp4', *model, '--out-video', out)
    assert code == 0, err
    with av.open(str(out)) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(64, 45)


def with_sound(path, codec, seconds=3):
    """A video of 10 frames a second with a tone that is silent in its first second."""
    rate = 48000
    with av.open(str(path), 'w') as container:
        video = container.add_stream('libx264', rate=10)
        video.height, video.width, video.pix_fmt = 48, 64, 'yuv420p'
        audio = container.add_stream(codec, rate=rate)
        samples = np.sin(np.arange(seconds * rate) * 2 * np.pi * 440 / rate)
        samples[:rate] = 0
        fmt = 'fltp' if codec == 'aac' else 's16'
        block = 1024
        for t in range(10 * seconds):
            frame = av.VideoFrame.from_ndarray(picture(t), format='rgb24')
            container.mux(video.encode(frame))
        for i in range(0, len(samples) - block, block):
            part = samples[None, i : i + block]
            part = part.astype(np.float32) if fmt == 'fltp' else (part * 30000).astype(np.int16)
            sound = av.AudioFrame.from_ndarray(part, format=fmt, layout='mono')
            sound.sample_rate, sound.pts = rate, i
            container.mux(audio.encode(sound))
        for stream in (video, audio):
            container.mux(stream.encode(None))
    return path


def loud_from(path):
    """Seconds of sound, and when it becomes loud."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None
        blocks = [f for f in container.decode(audio=0)]
        rate = blocks[0].sample_rate
        name = container.streams.audio[0].codec_context.name
        wave = np.concatenate([b.to_ndarray()[0].astype(float) for b in blocks])
    loud = np.abs(wave) > 0.3 * np.abs(wave).max()
    return name, len(wave) / rate, np.flatnonzero(loud)[0] / rate


@pytest.mark.parametrize(('codec', 'name'), [('aac', 'a.mp4'), ('pcm_s16le', 'a.mkv')])
def test_sound_goes_with_the_frames(run, model, tmp_path, codec, name):
    path = with_sound(tmp_path / name, codec)
    out = tmp_path / 'out.mp4'
    code, _, err = run('track', path, *model, '--out-video', out)
    assert code == 0, err
    kind, seconds, loud = loud_from(out)
    assert kind == 'aac'  # what mp4 does not take is encoded
    assert seconds == pytest.approx(3, abs=0.1) and loud == pytest.approx(1, abs=0.1)
    options = ('--start', '5', '--max-frames', '10')
    assert run('track', path, *model, '--out-video', out, *options)[0] == 0
    kind, seconds, loud = loud_from(out)
    assert seconds == pytest.approx(1, abs=0.1) and loud == pytest.approx(0.5, abs=0.1)
    assert run('track', path, *model, '--out-video', out, '--no-sound')[0] == 0
    assert loud_from(out) is None


def test_what_a_threshold_hides_is_said(run, model, tmp_path):
    path = write_video(tmp_path / 'a.mp4', length=2)
    out = ('--out-json', tmp_path / 'a.json')
    code, said, _ = run('track', path, *model, '--score-thr', '0.999', *out)
    assert code == 0 and 'nothing scored above --score-thr 0.999' in said


def test_a_name_as_long_as_the_file_system_allows(run, model, video, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = 'ä' * 124 + '.mp4'
    (tmp_path / name).write_bytes(video.read_bytes())
    code, _, err = run('track', name, *model, '--max-frames', '1')
    assert code == 0, err
    (made,) = set(os.listdir(tmp_path)) - {name}
    assert made.endswith('_tracked.mp4') and 200 < len(made.encode()) <= 255


def test_animations_are_tracked(run, model, tmp_path):
    frames = [Image.fromarray(picture(t)) for t in range(3)]
    frames[0].save(tmp_path / 'a.webp', save_all=True, append_images=frames[1:], lossless=True)
    code, said, err = run('track', tmp_path / 'a.webp', *model, '--out-json', tmp_path / 'a.json')
    assert code == 0 and said.startswith('a: 3 frames'), err
