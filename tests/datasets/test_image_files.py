"""Whoever reads an image sees the same pixels, or says the same."""

import os

import numpy as np
import pytest
from PIL import Image

from mmvis_cl import limits
from mmvis_cl.datasets.converters.check_files import _check_image
from mmvis_cl.datasets.image_files import image_size, images_in, read_image
from mmvis_cl.datasets.transforms import LoadFrame
from mmvis_cl.datasets.video_source import open_source
from mmvis_cl.errors import InputError

RAMP = np.tile(np.arange(256, dtype=np.uint8), (8, 1))
COLOURS = np.stack([RAMP, RAMP[:, ::-1], np.full_like(RAMP, 40)], -1)


def track(path):
    return next(iter(open_source(path))).image


def train(path):
    return LoadFrame().transform(dict(img_path=str(path)))['img'][..., ::-1]


READERS = dict(read_image=read_image, track=track, train=train)


def check(path):
    """What check_vis says, None if nothing."""
    size = dict(width=256, height=8, video_id=1, frame_id=0)
    return _check_image(dict(size, img_path=str(path)), decode=True)


def palette():
    return Image.fromarray(COLOURS).quantize(64)


def turned():
    image = Image.fromarray(np.ascontiguousarray(np.rot90(COLOURS)))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees to the right
    return image, dict(exif=exif)


GREY = np.repeat(RAMP[..., None], 3, 2)
IMAGES = {
    'grey.png': (lambda: Image.fromarray(RAMP), GREY),
    'sixteen.png': (lambda: Image.fromarray(RAMP.astype(np.uint16) * 257), GREY),
    'sixteen.tif': (lambda: Image.fromarray(RAMP.astype(np.uint16) * 257), GREY),
    'colours.png': (lambda: Image.fromarray(COLOURS), COLOURS),
    'alpha.png': (lambda: Image.fromarray(np.dstack([COLOURS, RAMP])), COLOURS),
    'grey_alpha.png': (lambda: Image.fromarray(np.dstack([RAMP, RAMP[:, ::-1]]), 'LA'), GREY),
    'palette.png': (palette, None),
    'cmyk.tif': (lambda: Image.fromarray(COLOURS).convert('CMYK'), COLOURS),
    'turned.png': (turned, COLOURS),
}


@pytest.mark.filterwarnings('ignore:.*mode.*parameter is deprecated:DeprecationWarning')
@pytest.mark.parametrize(('name', 'made'), IMAGES.items(), ids=IMAGES)
def test_all_see_the_same_pixels(tmp_path, name, made):
    make, expected = made
    image = make()
    image, options = image if isinstance(image, tuple) else (image, {})
    image.save(tmp_path / name, **options)
    if expected is None:
        expected = np.array(image.convert('RGB'))
    for reader, read in READERS.items():
        assert np.array_equal(read(tmp_path / name), expected), reader
    assert image_size(tmp_path / name, name) == (8, 256)
    assert check(tmp_path / name) is None


def bomb(path):
    Image.new('1', (50_000, 50_000)).save(path)


def animation(path):
    frames = [Image.fromarray(np.roll(COLOURS, 20 * t, 1)) for t in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


BROKEN = {
    'float.tif': (lambda p: Image.fromarray(RAMP / np.float32(255)).save(p), 'floating-point'),
    'wide.tif': (lambda p: Image.fromarray(RAMP.astype(np.int32)).save(p), '32-bit or signed'),
    'bomb.png': (bomb, 'MMVIS_CL_MAX_FRAME_PIXELS'),
    'text.jpg': (lambda p: p.write_text('hello'), 'cannot be decoded'),
    'empty.png': (lambda p: p.write_bytes(b''), 'cannot be decoded'),
    'folder.png': (lambda p: p.mkdir(), 'is a folder'),
}
if hasattr(os, 'mkfifo'):
    BROKEN['pipe.png'] = (os.mkfifo, 'is a pipe')
PAGES = dict.fromkeys(('a.tif', 'a.webp', 'a.png'), (animation, 'holds 3 images'))


@pytest.mark.parametrize(('name', 'made'), (BROKEN | PAGES).items(), ids=BROKEN | PAGES)
def test_all_refuse_the_same(tmp_path, name, made):
    make, message = made
    path = tmp_path / name
    make(path)
    readers = dict(READERS)
    if name in PAGES or name == 'folder.png':
        del readers['track']  # a video, and a folder of images
    for read in readers.values():
        with pytest.raises(InputError, match=message) as error:
            read(path)
        assert '\n' not in str(error.value) and name in str(error.value)
    assert message in check(path)[1]


@pytest.mark.parametrize('name', PAGES)
def test_frames_and_pages_of_one_file_are_a_video(tmp_path, name):
    animation(tmp_path / name)
    with open_source(tmp_path / name) as source:
        frames = list(source)
        assert source.length == 3 and source.size == (8, 256)
        assert [f.index for f in source] == [0, 1, 2]  # a second time
    for t, frame in enumerate(frames):
        difference = frame.image.astype(int) - np.roll(COLOURS, 20 * t, 1)
        assert np.abs(difference).mean() < (20 if name == 'a.webp' else 1e-9)
    assert [f.index for f in open_source(tmp_path / name, start=2)] == [2]


def test_what_other_programs_hide_is_no_frame(tmp_path):
    for name in ('2.png', '10.png', '._1.png', '.hidden.jpg', 'notes.txt'):
        (tmp_path / name).write_bytes(b'')
    for name in ('.ipynb_checkpoints', '__MACOSX', 'a.png'):
        (tmp_path / name).mkdir()
    assert [path.name for path in images_in(tmp_path)] == ['2.png', '10.png']


def test_the_limit_can_be_raised(tmp_path, monkeypatch):
    Image.fromarray(COLOURS).save(tmp_path / 'a.png')
    monkeypatch.setenv('MMVIS_CL_MAX_FRAME_PIXELS', '2047')
    assert limits.MAX_FRAME_PIXELS == 2047
    with pytest.raises(InputError, match=r'256x8 .* more than 2047 pixels'):
        read_image(tmp_path / 'a.png')
    monkeypatch.setenv('MMVIS_CL_MAX_FRAME_PIXELS', '2048')
    assert read_image(tmp_path / 'a.png').shape == (8, 256, 3)
