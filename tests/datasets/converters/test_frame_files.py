"""Frames of images and video files: found, matched with numbers, written as JPEGs."""

import numpy as np
import pytest
from PIL import Image
from small_videos import number, picture, write_video

from mmvis_cl.datasets.converters.frame_files import (
    ImageFrames,
    VideoFrames,
    find_video,
    pick_images,
)
from mmvis_cl.datasets.video_source import read_image
from mmvis_cl.errors import InputError

SIZE = (48, 64)


def images(folder, names, suffix='.png'):
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f'{name}{suffix}' for name in names]
    for t, path in enumerate(paths):
        Image.fromarray(picture(t)).save(path)
    return paths


def test_jpegs_are_copied_and_others_encoded(tmp_path):
    jpeg, grey, png = [tmp_path / name for name in ('a.jpg', 'b.jpeg', 'c.png')]
    Image.fromarray(picture(1)).save(jpeg, quality=30)
    Image.fromarray(picture(2)).convert('L').save(grey)
    Image.fromarray(picture(3)).convert('RGBA').save(png)
    out = tmp_path / 'out'
    out.mkdir()
    saved = list(ImageFrames([jpeg, grey, png]).save(out, SIZE))
    assert [path.name for path in saved] == ['00000.jpg', '00001.jpg', '00002.jpg']
    assert [path.read_bytes() for path in saved[:2]] == [jpeg.read_bytes(), grey.read_bytes()]
    error = np.abs(read_image(saved[2]).astype(int) - picture(3))
    assert error.mean() < 2 and Image.open(saved[2]).format == 'JPEG'


def test_a_turned_photo_is_saved_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees to the right
    path = tmp_path / 'phone.jpg'
    Image.fromarray(np.rot90(picture(4))).save(path, exif=exif, quality=95)
    frames = ImageFrames([path])
    assert frames.check_size(None) == SIZE
    (saved,) = frames.save(tmp_path, SIZE)
    with Image.open(saved) as image:
        assert image.size == SIZE[::-1] and not image.getexif()
    assert np.abs(read_image(saved).astype(int) - picture(4)).mean() < 4


def test_broken_images(tmp_path):
    (path,) = images(tmp_path, ['a'])
    with pytest.raises(InputError, match=r'a\.png: is 64x48 .* 30x20; give'):
        list(ImageFrames([path]).save(tmp_path, (20, 30)))
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)).save(
        tmp_path / 'cut.jpg'
    )
    data = (tmp_path / 'cut.jpg').read_bytes()
    (tmp_path / 'cut.jpg').write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r'cut\.jpg: the image cannot be decoded'):
        list(ImageFrames([tmp_path / 'cut.jpg']).save(tmp_path, SIZE))


def test_frames_of_a_video(tmp_path):
    path = write_video(tmp_path / 'a.mp4')
    frames = VideoFrames(path, [2, 5, 11])
    assert (len(frames), frames.check_size(SIZE)) == (3, SIZE)
    saved = list(frames.save(tmp_path, SIZE))
    assert [p.name for p in saved] == ['00000.jpg', '00001.jpg', '00002.jpg']
    assert [number(read_image(p)) for p in saved] == [2, 5, 11]
    with pytest.raises(InputError, match=r'a\.mp4: has 12 frames, the annotations go to frame 12'):
        list(VideoFrames(path, [3, 12]).save(tmp_path, SIZE))


def test_a_cut_video(tmp_path):
    path = write_video(tmp_path / 'a.mkv', length=40)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r'wrong frames; give a whole file'):
        list(VideoFrames(path, [0, 1]).save(tmp_path, SIZE))


def test_where_a_video_is(tmp_path):
    images(tmp_path / 'both' / 'dog', ['a'])
    (tmp_path / 'both' / 'cat.mp4').touch()
    root = tmp_path / 'both'
    assert find_video(root, ['', '.', 'x', 'dog'], alone=False) == root / 'dog'
    assert find_video(root, ['cat'], alone=False) == root / 'cat.mp4'
    assert find_video(root, ['cat.mp4'], alone=True) == root / 'cat.mp4'
    assert find_video(root / 'cat.mp4', ['x'], alone=True) == root / 'cat.mp4'
    assert find_video(root / 'dog', ['x'], alone=True) == root / 'dog'
    for path, alone, message in (
        (root / 'cat.mp4', False, 'several videos'),
        (root / 'dog', False, "no video file with the name 'x'"),
        (root, True, "no video file with the name 'x'"),
        (root / 'absent', True, 'no such file or folder'),
    ):
        with pytest.raises(InputError, match=message):
            find_video(path, ['x'], alone)


def test_which_image_is_which_frame(tmp_path):
    a = images(tmp_path / 'a', ['img9', 'img10', 'img11'])
    assert pick_images(tmp_path / 'a', [20, 25, 30]) == {20: a[0], 25: a[1], 30: a[2]}
    assert pick_images(tmp_path / 'a', [0, 2]) == {0: a[0], 2: a[2]}
    b = images(tmp_path / 'b', ['frame_000004', 'frame_000006', 'frame_000008'])
    assert pick_images(tmp_path / 'b', [4, 5, 6, 7, 8]) == {4: b[0], 6: b[1], 8: b[2]}
    with pytest.raises(InputError, match=r'holds 3 images for 4 frames \(0 to 3\)'):
        pick_images(tmp_path / 'a', [0, 1, 2, 3])
