import errno
import threading
from itertools import pairwise

import av
import numpy as np
import pytest

from mmvis_cl.errors import InputError
from mmvis_cl.visualization import VideoWriter
from mmvis_cl.visualization.video_writer import WAITING_FRAMES


def read(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format='rgb24') for frame in container.decode(stream)]
        # of PyAV 19's streams nothing can be asked once the file is closed
        codec = stream.codec_context
        return (codec.name, codec.pix_fmt, float(stream.average_rate)), frames


def gray(value, height=64, width=96):
    return np.full((height, width, 3), value, np.uint8)


def test_frames_come_back_in_order_with_rate_and_format(tmp_path):
    path = tmp_path / 'new' / 'a.mp4'
    with VideoWriter(path, fps=7.5) as writer:
        for value in (20, 100, 200):
            writer.write(gray(value))
    stream, frames = read(path)
    assert stream == ('h264', 'yuv420p', 7.5)
    assert [round(frame.mean()) for frame in frames] == pytest.approx([20, 100, 200], abs=3)
    assert [p.name for p in path.parent.iterdir()] == ['a.mp4']


def test_colours_are_rgb(tmp_path):
    frame = gray(0)
    frame[..., 0] = 200
    with VideoWriter(tmp_path / 'a.mp4') as writer:
        writer.write(frame)
    red, green, blue = read(tmp_path / 'a.mp4')[1][0].mean((0, 1))
    assert red > 180 and green < 20 and blue < 20


def test_odd_sides_are_padded_with_the_edge(tmp_path):
    with VideoWriter(tmp_path / 'a.mp4') as writer:
        writer.write(gray(150, 51, 33))
    frame = read(tmp_path / 'a.mp4')[1][0]
    assert frame.shape == (52, 34, 3)
    assert frame.min() > 140


def test_an_interrupted_video_leaves_no_file_and_keeps_the_old_one(tmp_path):
    path = tmp_path / 'a.mp4'
    path.write_bytes(b'old')
    with pytest.raises(KeyError), VideoWriter(path) as writer:
        writer.write(gray(1))
        raise KeyError
    assert path.read_bytes() == b'old'
    assert [p.name for p in tmp_path.iterdir()] == ['a.mp4']


@pytest.mark.parametrize(
    ('name', 'fps', 'message'),
    [
        ('a.avi', 6, 'a.avi: a video must be written to a name that ends in .mp4'),
        ('a.mp4', 0, 'fps'),
    ],
)
def test_bad_arguments(tmp_path, name, fps, message):
    with pytest.raises(InputError, match=message):
        VideoWriter(tmp_path / name, fps=fps)


def test_no_frames(tmp_path):
    with pytest.raises(InputError, match='no frame was written'), VideoWriter(tmp_path / 'a.mp4'):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / 'file').write_text('')
    with (
        pytest.raises(InputError, match='cannot be written'),
        VideoWriter(tmp_path / 'file' / 'a.mp4'),
    ):
        pass


def test_frames_of_another_size_or_type(tmp_path):
    with pytest.raises(ValueError, match='the first was'), VideoWriter(tmp_path / 'a.mp4') as w:
        w.write(gray(1))
        w.write(gray(1, 32, 32))
    with pytest.raises(ValueError, match='uint8'), VideoWriter(tmp_path / 'a.mp4') as w:
        w.write(gray(1).astype(float))


def test_uneven_times_are_kept_and_the_video_lasts_as_long(tmp_path):
    times = [3.0, 3.04, 3.2, 3.2, 3.9]  # the fourth cannot be shown at the time of the third
    with VideoWriter(tmp_path / 'a.mp4', fps=25) as writer:
        for time in times:
            writer.write(gray(100), time)
    with av.open(str(tmp_path / 'a.mp4')) as container:
        stream = container.streams.video[0]
        shown = [frame.time for frame in container.decode(stream)]
        assert shown == pytest.approx([0, 0.04, 0.2, 0.2, 0.9], abs=1e-3)
        assert all(a < b for a, b in pairwise(shown))
        # the last frame is shown for 1 / fps
        assert float(stream.duration * stream.time_base) == pytest.approx(0.94, abs=1e-3)


@pytest.mark.parametrize('fps', [30000 / 1001, 24000 / 1001, 25])
def test_usual_rates_are_exact(tmp_path, fps):
    with VideoWriter(tmp_path / 'a.mp4', fps=fps) as writer:
        for _ in range(5):
            writer.write(gray(100))
    assert read(tmp_path / 'a.mp4')[0][2] == fps


def test_the_caller_may_use_its_array_again(tmp_path):
    frame = gray(0)
    with VideoWriter(tmp_path / 'a.mp4') as writer:
        for value in (30, 90, 150, 210, 40, 80):
            frame[:] = value
            writer.write(frame)
        frame[:] = 255
    means = [round(frame.mean()) for frame in read(tmp_path / 'a.mp4')[1]]
    assert means == pytest.approx([30, 90, 150, 210, 40, 80], abs=3)


def test_frames_are_encoded_while_the_caller_goes_on(tmp_path, monkeypatch):
    gate, threads = threading.Event(), set()
    encode = VideoWriter._encode

    def waiting(self, frame):
        threads.add(threading.current_thread().name)
        gate.wait()
        encode(self, frame)

    monkeypatch.setattr(VideoWriter, '_encode', waiting)
    with VideoWriter(tmp_path / 'a.mp4') as writer:
        for value in range(WAITING_FRAMES):
            writer.write(gray(50 * value))
        gate.set()
    assert threads == {'encoding of a.mp4'}
    assert len(read(tmp_path / 'a.mp4')[1]) == WAITING_FRAMES
    assert 'encoding of a.mp4' not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize('frames', [1, 30])
def test_an_error_of_the_encoder_is_one_line_of_the_next_call(tmp_path, monkeypatch, frames):
    """Of one of the next frames, or of close(), if there is none."""
    (tmp_path / 'a.mp4').write_bytes(b'old')

    class Full:
        def __init__(self, stream):
            self.codec_context = stream.codec_context

        def encode(self, frame=None):
            raise OSError(errno.ENOSPC, 'No space left on device')

    add = VideoWriter._add_stream
    monkeypatch.setattr(VideoWriter, '_add_stream', lambda *args: Full(add(*args)))
    written = 0
    with (
        pytest.raises(InputError, match=r'a\.mp4: the disk is full; free some space'),
        VideoWriter(tmp_path / 'a.mp4') as writer,
    ):
        for _ in range(frames):
            writer.write(gray(100))
            written += 1
    assert written <= WAITING_FRAMES + 2
    assert [p.name for p in tmp_path.iterdir()] == ['a.mp4']
    assert (tmp_path / 'a.mp4').read_bytes() == b'old'


def test_an_interrupt_ends_the_thread(tmp_path):
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / 'a.mp4') as writer:
        for _ in range(3):
            writer.write(gray(100, 480, 854))
        raise KeyboardInterrupt
    assert 'encoding of a.mp4' not in {thread.name for thread in threading.enumerate()}
    assert list(tmp_path.iterdir()) == []
