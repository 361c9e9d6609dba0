"""The writers by themselves; tests/cli/test_track.py has them after a network."""

import json
import os
import resource
from contextlib import contextmanager

import av
import numpy as np
import pytest
from PIL import Image

from mmvis_cl.errors import InputError
from mmvis_cl.outputs import (
    COCOVideoOutput,
    Outputs,
    PalettePNGOutput,
    VideoOutput,
    YouTubeVISOutput,
    davis_palette,
)
from mmvis_cl.structures import FrameResult, VideoResult, encode_masks

HEIGHT, WIDTH = 40, 60


def frame_result(index, identities, masks, scores=None, time=None):
    n = len(identities)
    masks = np.reshape(masks, (n, HEIGHT, WIDTH)).astype(bool)
    return FrameResult(
        index=index,
        time=index / 10 if time is None else time,
        image=np.full((HEIGHT, WIDTH, 3), 90, np.uint8),
        identities=np.array(identities, np.int64),
        labels=np.zeros(n, np.int64),
        classes=['cat'] * n,
        scores=np.array(scores or [0.5] * n, np.float32),
        bboxes=np.tile(np.float32([10, 5, 30, 25]), (n, 1)),
        rles=encode_masks(masks) if n else [],
    )


def square(x, y=5, side=20):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y : y + side, x : x + side] = True
    return mask


def test_the_palette_is_that_of_davis_and_pascal_voc():
    palette = davis_palette()
    assert palette.shape == (256, 3) and len(np.unique(palette, axis=0)) == 256
    # the published colours of the first classes of Pascal VOC, and of the border
    voc = [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [128, 0, 128]]
    assert palette[:6].tolist() == voc
    assert palette[15].tolist() == [192, 128, 128]  # person
    assert palette[255].tolist() == [224, 224, 192]


def test_png_values_are_the_order_of_appearance_and_the_better_score_is_on_top(tmp_path):
    folder = tmp_path / 'masks'
    with PalettePNGOutput(folder) as output:
        output.write(frame_result(3, [], []))
        output.write(frame_result(4, [40, 7], [square(0), square(10)], [0.4, 0.8]))
        output.write(frame_result(5, [7, 40], [square(10), square(0)], [0.3, 0.8]))
    assert sorted(os.listdir(folder)) == ['00003.png', '00004.png', '00005.png']
    pixels = []
    for name in sorted(os.listdir(folder)):
        with Image.open(folder / name) as image:
            assert image.mode == 'P'
            assert image.getpalette() == davis_palette().flatten().tolist()
            pixels.append(np.asarray(image))
    assert not pixels[0].any()
    assert pixels[1][10, [5, 15, 25, 35]].tolist() == [1, 2, 2, 0]
    assert pixels[2][10, [5, 15, 25, 35]].tolist() == [1, 1, 2, 0]


def test_after_255_identities_a_frame_is_16_bit_grey(tmp_path, caplog):
    with PalettePNGOutput(tmp_path) as output:
        for start in range(0, 300, 50):
            identities = list(range(start, start + 50))
            output.write(frame_result(start, identities, [square(0)] * 50))
        output.write(frame_result(300, [299, 0], [square(0), square(30)]))
        output.write(frame_result(301, [0], [square(30)]))
    assert [r.message.count('16-bit') for r in caplog.records] == [1]
    with Image.open(tmp_path / '00300.png') as image:
        assert image.mode in ('I;16', 'I')  # the latter by Pillow 10
        assert np.unique(np.asarray(image)).tolist() == [0, 1, 300]
    with Image.open(tmp_path / '00301.png') as image:
        assert image.mode == 'P'


def test_video_keeps_uneven_times_from_the_first_frame_on(tmp_path):
    with VideoOutput(tmp_path / 'a.mp4', fps=10) as output:
        for index, time in ((5, 7.0), (6, 7.25), (7, 7.3)):
            output.write(frame_result(index, [1], [square(index)], time=time))
    with av.open(str(tmp_path / 'a.mp4')) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert times == pytest.approx([0, 0.25, 0.3], abs=1e-3)


def video_result(frames):
    result = VideoResult('v', 0, (HEIGHT, WIDTH), score_thr=0.1)
    for t in range(frames):
        masks = encode_masks(square(t)[None])
        scores = np.array([[0.6, 0.05, 0.3]])
        result.add_frame(t, np.array([4]), scores, masks, np.array([[0, 0, 9, 9.0]]))
    return result


def test_youtube_vis_has_the_frames_that_were_written(tmp_path):
    """Of the network's pass, frames after the last one written are left out."""
    result = video_result(6)
    path = tmp_path / 'a.json'
    with YouTubeVISOutput(path, lambda: result, video_id=3, category_ids=[11, 12, 13]) as output:
        for t in range(4):
            output.write(frame_result(t, [4], [square(t)]))
    tracks = json.loads(path.read_text())
    assert [(t['video_id'], t['category_id']) for t in tracks] == [(3, 11), (3, 13)]
    assert [t['score'] for t in tracks] == pytest.approx([0.6, 0.3])
    assert tracks[0]['segmentations'] == encode_masks(np.stack([square(t) for t in range(4)]))


def test_coco_of_a_video_in_which_nothing_was_found(tmp_path):
    with COCOVideoOutput(tmp_path / 'a.json', ['cat'], 'v', 10.0) as output:
        output.write(frame_result(0, [], []))
    content = json.loads((tmp_path / 'a.json').read_text())
    assert content['annotations'] == [] and len(content['images']) == 1
    assert content['categories'] == [dict(id=1, name='cat')]


EACH_OUTPUT = (
    lambda folder: VideoOutput(folder / 'a.mp4', 10),
    lambda folder: COCOVideoOutput(folder / 'a.json', ['cat'], 'v', 10.0),
    lambda folder: YouTubeVISOutput(folder / 'a.json', lambda: video_result(40)),
)


@pytest.mark.parametrize('make', EACH_OUTPUT)
def test_ctrl_c_in_a_with_block_finishes_and_other_errors_discard(tmp_path, make):
    for error, left in ((KeyboardInterrupt, True), (KeyError, False)):
        output = make(tmp_path)
        with pytest.raises(error), output:
            output.write(frame_result(0, [4], [square(0)]))
            raise error
        assert output.finished == left
        assert os.listdir(tmp_path) == ([output.path.name] if left else [])
        output.path.unlink(missing_ok=True)
    with pytest.raises(ValueError, match='after close'):
        output.write(frame_result(0, [4], [square(0)]))


@contextmanager
def largest_file(size):
    """No file can grow beyond ``size``; the system says so in the middle of a write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize('make', EACH_OUTPUT)
def test_what_cannot_be_written_to_its_end_leaves_nothing_and_the_rest_is_finished(tmp_path, make):
    rng = np.random.default_rng(0)
    output = make(tmp_path)
    masks = PalettePNGOutput(tmp_path / 'masks')
    both = Outputs([output, masks])
    with largest_file(3000), pytest.raises(InputError, match='cannot be written') as caught:
        for t in range(40):
            frame = frame_result(t, [4], [square(t)])
            frame.image = rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
            both.write(frame)
        both.close()
    assert str(caught.value).startswith(f'{output.path}: ')
    both.close()
    assert (output.finished, masks.finished) == (False, True)
    assert os.listdir(tmp_path) == ['masks']


def test_check_path_makes_the_folder_and_nothing_else(tmp_path):
    VideoOutput.check_path(tmp_path / 'new' / 'a.MP4')
    assert list((tmp_path / 'new').iterdir()) == []
    (tmp_path / 'a.json').mkdir()
    with pytest.raises(InputError, match='is a folder'):
        COCOVideoOutput.check_path(tmp_path / 'a.json')


LONGEST = 255  # bytes of a name on most file systems


@pytest.mark.parametrize('make', [VideoOutput.check_path, COCOVideoOutput.check_path])
def test_a_name_that_is_too_long_is_said_in_one_line(tmp_path, make):
    suffix = '.mp4' if make == VideoOutput.check_path else '.json'
    with pytest.raises(InputError, match='the name of the file is too long'):
        make(tmp_path / ('n' * (LONGEST + 1 - len(suffix)) + suffix))
    with pytest.raises(InputError, match='the name of the file is too long'):
        PalettePNGOutput.check_path(tmp_path / ('n' * (LONGEST + 1)))


@pytest.mark.parametrize('kind', [0, 1, 2])
def test_the_longest_names_of_the_file_system_can_be_written(tmp_path, kind):
    long = 'ü' * 120  # two bytes each
    path = tmp_path / (long.ljust(LONGEST - 125, 'n') + ('.mp4', '.json', '.json')[kind])
    output = (
        lambda: VideoOutput(path, 10),
        lambda: COCOVideoOutput(path, ['cat'], 'v', 10.0),
        lambda: YouTubeVISOutput(path, lambda: video_result(1)),
    )[kind]()
    with output:
        output.write(frame_result(0, [4], [square(0)]))
    assert os.listdir(tmp_path) == [path.name]
    assert LONGEST - 1 <= len(os.fsencode(path.name)) <= LONGEST


def test_a_colon_in_a_name_is_no_protocol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('tcp:80.mp4', 'cam:1/a.mp4', 'http://x/a.mp4'):
        with VideoOutput(name, fps=10) as output:
            output.write(frame_result(0, [1], [square(0)]))
        assert os.path.getsize(name) > 500
