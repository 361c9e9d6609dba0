from types import SimpleNamespace

import av
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_api

from mmvis_cl.errors import InputError
from mmvis_cl.visualization import identity_colors, write_result_video

HEIGHT, WIDTH = 360, 480


def rle(x):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order='F')
    mask[100:200, x : x + 100] = 1
    return mask_api.encode(mask)


def track(identity, label, score, xs):
    return SimpleNamespace(
        identity=identity,
        label=label,
        score=score,
        segmentations=[None if x is None else rle(x) for x in xs],
        bboxes=[None if x is None else [x, 100, x + 100, 200] for x in xs],
    )


def result(*tracks, length=3):
    return SimpleNamespace(
        video_id=5, length=length, ori_shape=(HEIGHT, WIDTH), tracks=list(tracks)
    )


@pytest.fixture
def frames(tmp_path):
    paths = [tmp_path / f'{i}.png' for i in range(3)]
    for path in paths:
        Image.fromarray(np.full((HEIGHT, WIDTH, 3), 90, np.uint8)).save(path)
    return paths


def decode(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format='rgb24') for frame in container.decode(video=0)]


def masked(color):
    return 0.55 * 90 + 0.45 * identity_colors([color])[0].astype(float)


def test_tracks_are_drawn_where_seen_in_their_own_colour(tmp_path, frames):
    # Identity 9 appears after identity 30, so it gets the second colour in every frame.
    video = result(
        track(9, 0, 0.9, [None, 300, 300]),
        track(30, 1, 0.8, [50, 60, None]),
        track(4, 1, 0.1, [200, 200, 200]),  # below the threshold
    )
    write_result_video(video, frames, ['cat', 'dog'], tmp_path / 'v.mp4', score_thr=0.3)
    out = decode(tmp_path / 'v.mp4')
    assert len(out) == 3
    for t, centers in enumerate([{100: 0}, {110: 0, 350: 1}, {350: 1}]):
        for x, color in centers.items():
            patch = out[t][170:190, x - 10 : x + 10].mean((0, 1))
            np.testing.assert_allclose(patch, masked(color), atol=8)
    np.testing.assert_allclose(out[0][170:190, 240:260].mean(), 90, atol=3)
    np.testing.assert_allclose(out[2][170:190, 90:110].mean(), 90, atol=3)


def test_an_identity_with_several_classes_is_drawn_once(tmp_path, frames, monkeypatch):
    drawn = []

    def spy(image, masks, bboxes, labels, scores, identities, color_ids):
        drawn.append((labels, scores, identities))
        return image

    monkeypatch.setattr('mmvis_cl.visualization.result_video.draw_tracks', spy)
    video = result(track(2, 0, 0.4, [50, 50, 50]), track(2, 1, 0.7, [50, 50, 50]))
    write_result_video(video, frames, ['cat', 'dog'], tmp_path / 'v.mp4')
    assert drawn == [(['dog'], [0.7], [2])] * 3


def test_a_video_in_which_nothing_was_found(tmp_path, frames):
    write_result_video(result(), frames, ['cat'], tmp_path / 'v.mp4')
    assert len(decode(tmp_path / 'v.mp4')) == 3


def test_bad_frames_are_named(tmp_path, frames):
    with pytest.raises(InputError, match='2 frames were given for a result of 3 frames'):
        write_result_video(result(), frames[:2], [], tmp_path / 'v.mp4')
    frames[1].write_bytes(b'no image')
    with pytest.raises(InputError, match=r'1\.png: the image cannot be decoded'):
        write_result_video(result(), frames, [], tmp_path / 'v.mp4')
    Image.new('RGB', (10, 10)).save(frames[1])
    with pytest.raises(InputError, match=r'1\.png: the frame is \(10, 10\)'):
        write_result_video(result(), frames, [], tmp_path / 'v.mp4')
    assert not (tmp_path / 'v.mp4').exists()
