"""Every kind of source, and what can be wrong with it."""

import functools
import http.server
import itertools
import logging
import os
import threading
import time

import av
import numpy as np
import pytest
from PIL import Image
from small_videos import number, picture, set_display_matrix, write_video

from mmvis_cl.apis import open_source
from mmvis_cl.datasets import camera, image_source
from mmvis_cl.datasets.video_source import FRAMES_AHEAD, VideoSource, read_image
from mmvis_cl.errors import InputError


def of_ours(caplog):
    """What we said: where torchvision imports PyAV, FFmpeg's own words come as well."""
    return [record for record in caplog.records if record.name.startswith('mmvis_cl')]


def numbers(source):
    return [number(frame.image) for frame in source]


def one_line(source, **options):
    """The error that a source ends in, at once or when it is read."""
    with pytest.raises(InputError) as error:
        list(source if isinstance(source, VideoSource) else open_source(source, **options))
    assert '\n' not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('a.mp4', {}),
        ('a.mkv', {}),
        ('a.ts', {}),  # starts at 1.4 s and has no index
        ('a.webm', dict(codec='libvpx-vp9')),
        ('a.avi', dict(codec='mpeg4')),
        ('odd.mp4', dict(size=(47, 63), pix_fmt='yuv444p')),
        ('grey.mkv', dict(codec='ffv1', pix_fmt='gray')),
        ('deep.mkv', dict(codec='ffv1', pix_fmt='yuv420p10le')),
    ],
)
def test_video_files(tmp_path, name, options):
    path = write_video(tmp_path / name, **options)
    with open_source(path) as source:
        assert (source.name, source.fps, source.is_live) == (path.stem, 10, False)
        assert source.size == options.get('size', (48, 64))
        assert source.length == 12
        frames = list(source)
        assert numbers(source) == list(range(12))  # a second time
    assert [frame.index for frame in frames] == list(range(12))
    assert [frame.time for frame in frames] == pytest.approx([i / 10 for i in range(12)], abs=1e-3)
    assert numbers(frames) == list(range(12))
    image = frames[3].image
    assert image.shape == (*source.size, 3) and image.dtype == np.uint8
    assert image.flags.c_contiguous
    if options.get('pix_fmt') == 'gray':
        assert np.ptp(image.astype(int), axis=2).max() == 0
    else:
        assert np.abs(image[4:-28, 3:-56].astype(int) - (255, 0, 0)).max() < 40
    assert source.problem is None


def test_start_and_max_frames(tmp_path):
    path = write_video(tmp_path / 'a.mp4')
    source = open_source(path, start=3, max_frames=4)
    assert source.length == 4
    frames = list(source)
    assert [frame.index for frame in frames] == numbers(frames) == [3, 4, 5, 6]
    assert frames[0].time == pytest.approx(0.3)
    assert open_source(str(path), start=10, max_frames=4).length == 2
    assert 'has no frame 12' in one_line(path, start=12)
    assert 'start=-1' in one_line(path, start=-1)
    assert 'max_frames=0' in one_line(path, max_frames=0)


def test_variable_frame_rate_keeps_its_times(tmp_path):
    times = [0, 33, 500, 510, 2000, 6000]
    path = write_video(tmp_path / 'a.mkv', length=6, times=times)
    source = open_source(path)
    frames = list(source)
    assert [round(1000 * frame.time) for frame in frames] == times
    assert numbers(frames) == list(range(6))
    assert source.problem is None  # that the last frames lasted long is no fault


@pytest.mark.parametrize(
    ('matrix', 'turn'),
    [
        ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),  # a quarter clockwise
        ((0, -1, 1, 0), lambda image: np.rot90(image, 1)),
        ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
        ((-1, 0, 0, 1), np.fliplr),  # a front camera
        ((1, 0, 0, -1), np.flipud),
        ((0, 1, 1, 0), lambda image: image.transpose(1, 0, 2)),
    ],
)
def test_phone_videos_are_turned_upright(tmp_path, matrix, turn):
    path = write_video(tmp_path / 'a.mp4', length=2)
    plain = next(iter(open_source(path))).image
    set_display_matrix(path, *matrix)
    source = open_source(path)
    image = next(iter(source)).image
    assert source.size == image.shape[:2]
    np.testing.assert_array_equal(image, turn(plain))


def test_a_file_that_was_cut_off_gives_what_is_left(tmp_path, caplog):
    for name, options in (('a.mp4', dict(movflags='+faststart')), ('a.mkv', {})):
        path = write_video(tmp_path / name, length=30, **options)
        path.write_bytes(path.read_bytes()[: int(0.7 * path.stat().st_size)])
        caplog.clear()
        source = open_source(path)
        found = numbers(source)
        assert 2 < len(found) < 30 and found == [t % 25 for t in range(len(found))]
        (record,) = of_ours(caplog)
        assert record.levelno == logging.WARNING
        assert record.getMessage() == source.problem
        assert f'ends after {len(found)} frames' in source.problem and 'cut off' in source.problem
        caplog.clear()
        list(open_source(path, max_frames=2))  # who wants no more need not hear of it
        assert not of_ours(caplog)


def test_damaged_packets_are_left_out_and_counted(tmp_path):
    path = write_video(tmp_path / 'a.avi', length=12, codec='zlib', pix_fmt='bgr24')
    content = bytearray(path.read_bytes())
    movie = content.index(b'movi')
    places = [i for i in range(movie, len(content)) if content[i : i + 4] == b'00dc'][:12]
    for i in places[5:7]:
        content[i + 8 : i + 40] = bytes(32)
    path.write_bytes(content)
    source = open_source(path)
    assert numbers(source) == [0, 1, 2, 3, 4, 7, 8, 9, 10, 11]
    assert 'damaged packets: 2' in source.problem and '10 frames' in source.problem


def test_files_that_are_no_videos(tmp_path):
    text = tmp_path / 'a.mp4'
    text.write_text('hello')
    assert f'{text}: cannot be read as a video' in one_line(text)
    (tmp_path / 'empty.mp4').write_bytes(b'')
    assert 'cannot be read as a video' in one_line(tmp_path / 'empty.mp4')
    cut = write_video(tmp_path / 'cut.mp4')  # its index is at the end
    cut.write_bytes(cut.read_bytes()[:-200])
    assert 'cut off' in one_line(cut)
    assert 'there is no such file or folder' in one_line(tmp_path / 'nothing.mp4')
    assert 'no source of frames' in one_line(3.5)


def test_sound_and_no_frames(tmp_path):
    import av

    sound = tmp_path / 'sound.mkv'
    with av.open(str(sound), 'w') as container:
        stream = container.add_stream('pcm_s16le', rate=8000, layout='mono')
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout='mono')
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert 'has no video in it, only audio' in one_line(sound)
    empty = tmp_path / 'zero.avi'
    with av.open(str(empty), 'w') as container:
        stream = container.add_stream('mpeg4', rate=10)
        stream.height = stream.width = 32
        stream.pix_fmt = 'yuv420p'
        container.start_encoding()
    assert 'zero.avi: ' in one_line(empty)


def save(path, t=0, mode='RGB', size=(48, 64), **options):
    Image.fromarray(picture(t, size)).convert(mode).save(path, **options)
    return path


def test_folders_and_patterns_in_natural_order(tmp_path):
    folder = tmp_path / 'walk'
    folder.mkdir()
    for t, name in enumerate(['1.png', 'a1.jpg', 'frame2.png', 'Frame10.PNG', 'frame010b.png']):
        save(folder / name, t)
    (folder / 'notes.txt').write_text('not an image')
    source = open_source(folder)
    assert (source.name, source.length, source.size) == ('walk', 5, (48, 64))
    assert numbers(source) == [0, 1, 2, 3, 4]
    assert numbers(open_source(f'{folder}/', start=1, max_frames=2)) == [1, 2]
    source = open_source(f'{folder}/*rame*')
    assert (source.name, numbers(source)) == ('walk', [2, 3, 4])
    assert numbers(open_source(folder / 'frame2.png')) == [2]
    assert 'no file matches' in one_line(f'{folder}/*.bmp')
    assert 'notes.txt, which is no image' in one_line(f'{folder}/*')
    assert 'has no images' in one_line(tmp_path) and 'such as walk' in one_line(tmp_path)
    assert 'has 5 images and so no frame 5' in one_line(folder, start=5)


def test_the_image_of_another_size_is_named(tmp_path):
    for t in range(12):
        save(tmp_path / f'{t}.png', t, size=(48, 64) if t != 10 else (48, 60))
    source = iter(open_source(tmp_path))
    assert numbers(itertools.islice(source, 10)) == list(range(10))
    with pytest.raises(InputError, match=r'/10\.png: is 60x48 .*before are 64x48'):
        next(source)


def test_kinds_of_images(tmp_path):
    rgb = picture(5)
    np.testing.assert_array_equal(read_image(save(tmp_path / 'a.png', 5)), rgb)
    Image.fromarray(rgb).quantize().save(tmp_path / 'palette.png')
    np.testing.assert_array_equal(read_image(tmp_path / 'palette.png'), rgb)
    np.testing.assert_array_equal(read_image(save(tmp_path / 'rgba.png', 5, 'RGBA')), rgb)
    grey = np.asarray(Image.fromarray(rgb).convert('L'))
    for path in (save(tmp_path / 'l.png', 5, 'L'), save(tmp_path / 'la.png', 5, 'LA')):
        np.testing.assert_array_equal(read_image(path), np.stack([grey] * 3, axis=2))
    deep = grey.astype(np.uint16) * 256 + 77
    for name in ('deep.png', 'deep.tif'):
        Image.fromarray(deep).save(tmp_path / name)
        np.testing.assert_array_equal(read_image(tmp_path / name)[..., 1], grey)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    path = save(tmp_path / 'turned.png', 5, exif=exif)
    np.testing.assert_array_equal(read_image(path), np.rot90(rgb, -1))
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / 'f.tif')
    assert 'floating-point' in one_line(tmp_path / 'f.tif')
    path = save(tmp_path / 'cut.jpg')
    path.write_bytes(path.read_bytes()[:-300])
    assert 'cut.jpg: the image cannot be decoded' in one_line(path)


def test_images_are_what_the_data_sets_read(tmp_path):
    from mmvis_cl.datasets.transforms import LoadFrame

    path = save(tmp_path / 'a.jpg', 5)
    expected = LoadFrame().transform(dict(img_path=str(path)))['img'][..., ::-1]
    np.testing.assert_array_equal(read_image(path), expected)


def test_arrays():
    frames = [picture(t) for t in range(4)]
    source = open_source(frames, start=1)
    assert (source.length, source.rereadable, source.size) == (3, True, (48, 64))
    assert numbers(source) == numbers(source) == [1, 2, 3]
    stack = np.stack(frames)
    assert numbers(open_source(stack)) == [0, 1, 2, 3]
    taken = []

    def make():
        for frame in frames:
            taken.append(threading.current_thread())
            yield frame

    source = open_source(make(), max_frames=3)
    assert (source.length, source.rereadable) == (3, False)
    assert numbers(source) == [0, 1, 2]
    assert taken == [threading.main_thread()] * 3
    (rgba,) = open_source([np.dstack([frames[2], frames[2][..., 0]])])
    np.testing.assert_array_equal(rgba.image, frames[2])
    (grey,) = open_source([frames[2][..., 1]])
    np.testing.assert_array_equal(grey.image, np.stack([frames[2][..., 1]] * 3, axis=2))
    assert 'is empty' in one_line([])
    assert 'frame 1: an array must be' in one_line([frames[0], frames[1].astype(float)])
    assert 'frame 2: is 32x48' in one_line([*frames[:2], frames[0][:, :32]])


def test_few_frames_wait_and_a_break_ends_the_thread(tmp_path, monkeypatch):
    for t in range(30):
        save(tmp_path / f'{t}.png', t)
    read = []
    original = image_source.read_image
    monkeypatch.setattr(
        image_source, 'read_image', lambda path: read.append(path) or original(path)
    )
    frames = iter(open_source(tmp_path))
    for _ in range(3):
        next(frames)
    deadline = time.monotonic() + 5
    while len(read) < 3 + FRAMES_AHEAD and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    # one for the size at the beginning; one that is done and waits for a place
    assert 3 + FRAMES_AHEAD <= len(read) <= 1 + 3 + FRAMES_AHEAD + 1
    frames.close()
    assert not [t for t in threading.enumerate() if t.name == 'read ahead']


class Camera:
    """In the place of OpenCV's: a picture every 20 ms, five of them."""

    def __init__(self, number):
        self.t = -1
        self.there = number == 0

    def isOpened(self):  # noqa: N802
        return self.there

    def read(self):
        self.t += 1
        time.sleep(0.02)
        return (True, picture(self.t)[..., ::-1]) if self.t < 5 else (False, None)

    def get(self, key):
        return 50.0

    def release(self):
        self.there = False


def test_camera(monkeypatch, caplog):
    monkeypatch.setattr(camera.cv2, 'VideoCapture', Camera)
    with open_source('0') as source:
        assert (source.name, source.fps, source.length) == ('camera0', 50.0, None)
        assert source.is_live and not source.rereadable
        frames = list(source)
    assert numbers(frames) == [frame.index for frame in frames] == [0, 1, 2, 3, 4]
    assert of_ours(caplog)[0].getMessage() == 'camera0: gave no more pictures after 5 frames'
    with open_source(0) as source:
        slow = []
        for frame in source:
            slow.append(frame.index)
            if frame.index == 0:
                time.sleep(0.3)  # meanwhile all others come, and the newest stays
    assert slow in ([0, 4], [0, 1, 4])
    assert 'camera 7: there is none of this number' in one_line(7)


def test_camera_that_is_not_there(capfd):
    assert 'camera 99' in one_line('99')
    assert capfd.readouterr().err == ''  # OpenCV keeps quiet


@pytest.fixture
def server(tmp_path):
    """Serves the folder; of ``live.ts`` half, without saying how much there is."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_GET(self):
            if not self.path.startswith('/live'):
                return super().do_GET()
            self.send_response(200)
            self.end_headers()
            content = (tmp_path / self.path[1:]).read_bytes()
            self.wfile.write(content[: len(content) // 2])

    handler = functools.partial(Handler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{httpd.server_port}'
        httpd.shutdown()


def test_a_video_on_a_server(tmp_path, server):
    write_video(tmp_path / 'a.mp4')
    source = open_source(f'{server}/a.mp4?quality=high')
    assert (source.name, source.is_live, source.length) == ('a', False, 12)
    assert numbers(source) == list(range(12))
    assert 'the stream cannot be opened' in one_line(f'{server}/nothing.mp4')


def test_a_stream_that_stops(tmp_path, server, caplog):
    write_video(tmp_path / 'live.ts', length=40)
    with open_source(f'{server}/live.ts') as source:
        assert source.is_live and source.length is None
        found = [frame.index for frame in source]
        # a frame that nobody waited for is dropped, but never the last one
        assert found == sorted(found) and 15 <= found[-1] <= 21
        (record,) = of_ours(caplog)
        assert record.getMessage() == source.problem
        assert f'live.ts: the stream stopped after {found[-1] + 1} frames' in source.problem
        assert 'can be read once' in one_line(source)


def with_cover(path, video, cover_first=True):
    """A file with a cover, as music and downloaded films have one."""
    with av.open(str(path), 'w') as container:

        def cover():
            stream = container.add_stream('png', rate=1)
            stream.height = stream.width = 32
            stream.pix_fmt = 'rgb24'
            stream.disposition = av.stream.Disposition.attached_pic
            return stream

        def film():
            stream = container.add_stream('libx264', rate=10)
            stream.height, stream.width = 48, 64
            stream.pix_fmt = 'yuv420p'
            return stream

        made = [make() for make in ((cover, film) if cover_first else (film, cover))]
        cover_stream, film_stream = made if cover_first else made[::-1]
        image = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 99, np.uint8), format='rgb24')
        container.mux(cover_stream.encode(image))
        container.mux(cover_stream.encode())
        for t in range(video):
            frame = av.VideoFrame.from_ndarray(picture(t), format='rgb24')
            container.mux(film_stream.encode(frame))
        container.mux(film_stream.encode())
    return path


@pytest.mark.skipif(not hasattr(av.stream, 'Disposition'), reason='PyAV cannot write covers')
@pytest.mark.parametrize('first', [True, False])
def test_a_cover_is_not_the_video(tmp_path, first):
    try:
        path = with_cover(tmp_path / 'film.mp4', 5, first)
    except AttributeError:
        pytest.skip('this PyAV cannot say that a stream is a cover')
    assert open_source(path).size == (48, 64)
    assert numbers(open_source(path)) == list(range(5))


@pytest.mark.parametrize('name', ['12:30.mp4', 'http:a.mkv', 'concat:b.mp4', 'a%20?.mp4', '-i.mp4'])
def test_names_that_look_like_something_else(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write_video('plain.mp4' if name.endswith('mp4') else 'plain.mkv', length=3)
    os.rename('plain.mp4' if name.endswith('mp4') else 'plain.mkv', name)
    assert numbers(open_source(name)) == [0, 1, 2]


def test_what_has_the_name_of_a_number_is_no_camera(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / '0002').mkdir()
    for t in range(3):
        Image.fromarray(picture(t)).save(tmp_path / '0002' / f'{t}.png')
    assert numbers(open_source('0002')) == [0, 1, 2]
    write_video('7.mp4', length=2)
    os.rename('7.mp4', '7')
    assert numbers(open_source('7')) == [0, 1]


@pytest.mark.parametrize('name', ['a.mkv', 'a.ts', 'a.mp4'])
def test_a_recording_that_begins_late_is_whole(tmp_path, name):
    path = write_video(tmp_path / name, times=[100_000 + 100 * t for t in range(12)])
    source = open_source(path)
    assert numbers(source) == list(range(12))
    assert source.problem is None and source.length in (11, 12, 13)


@pytest.mark.parametrize('name', ['a.mp4', 'a.mkv'])
def test_texts_in_no_known_coding(tmp_path, name):
    path = tmp_path / name
    with av.open(str(path), 'w') as container:
        container.metadata['title'] = 'XXXXXXXX'
        stream = container.add_stream('mpeg4', rate=10)
        stream.height, stream.width = 48, 64
        stream.pix_fmt = 'yuv420p'
        for t in range(3):
            frame = av.VideoFrame.from_ndarray(picture(t), format='rgb24')
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    content = path.read_bytes()
    assert b'XXXXXXXX' in content
    path.write_bytes(content.replace(b'XXXXXXXX', b'caf\xe9\xff\xfe\xc3('))
    assert numbers(open_source(path)) == [0, 1, 2]


class WithoutRanges(http.server.SimpleHTTPRequestHandler):
    """Gives whole files only, as http.server does."""

    def log_message(self, *args):
        pass


@pytest.mark.parametrize(('options', 'readable'), [({}, False), (dict(movflags='faststart'), True)])
def test_an_index_at_the_end_on_a_server_without_ranges(tmp_path, options, readable):
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    with av.open(str(tmp_path / 'a.mp4'), 'w', options=options) as container:
        stream = container.add_stream('mjpeg', rate=10)
        stream.height, stream.width = 480, 640
        stream.pix_fmt = 'yuvj420p'
        for t in range(60):  # more than FFmpeg keeps in its buffer
            frame = av.VideoFrame.from_ndarray(np.roll(noise, t, 0), format='rgb24')
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    handler = functools.partial(WithoutRanges, directory=tmp_path)
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f'http://127.0.0.1:{server.server_port}/a.mp4'
        try:
            if readable:
                assert len(list(open_source(address))) == 60
            else:
                line = one_line(address)
                assert 'Accept-Ranges' in line and 'faststart' in line
        finally:
            server.shutdown()


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='no pipes')
def test_a_pipe_does_not_wait_for_ever(tmp_path):
    os.mkfifo(tmp_path / 'a.mp4')
    assert 'is a pipe' in one_line(tmp_path / 'a.mp4')


def test_names_that_no_file_can_have():
    for name in ('a\0b.mp4', 'half \ud800.mp4', '[', 'x' * 300 + '.mp4'):
        assert one_line(name).encode()


@pytest.mark.parametrize(
    ('array', 'cure'),
    [
        (np.zeros((48, 64, 3), np.uint8), r'\[image\]'),
        (np.zeros((48, 64), np.uint8), r'\[image\]'),
        (np.zeros((2, 48, 64, 3)), 'times 255'),
        (np.zeros((2, 3, 48, 64), np.uint8), 'transpose'),
        (np.zeros((2, 48, 64, 5), np.uint8), 'one such array a frame'),
        (['a.jpg', 'b.jpg'], 'folder or pattern'),
        ([None], 'list of one'),
        ([np.zeros((0, 64, 3), np.uint8)], 'one such array a frame'),
    ],
    ids=str,
)
def test_arrays_that_are_no_frames(array, cure):
    with pytest.raises(InputError, match=cure) as error:
        list(open_source(array))
    assert '\n' not in str(error.value)
