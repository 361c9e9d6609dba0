import json
import shutil
from collections import Counter
from itertools import pairwise
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mmvis_cl.datasets.converters.moving_shapes import CLASSES, make_moving_shapes, render_video
from mmvis_cl.datasets.converters.shape_scene import FREQUENCIES, _look_alike, _sample_appearance
from mmvis_cl.errors import InputError

SMALL = dict(seed=3, train_videos=14, valid_videos=6, length=16)


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'moving_shapes'
    assert make_moving_shapes(root, **SMALL)
    return root


@pytest.fixture(scope='module')
def videos():
    """Frames, masks and labels of some videos of each split."""
    return [
        (split, *render_video(np.random.default_rng([seed, 7]), split=split))
        for seed in range(12)
        for split in ('train', 'valid')
    ]


def _files(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob('*') if path.is_file()}


def _seen(track):
    return ''.join('x' if mask else '-' for mask in track['segmentations'])


def test_same_arguments_give_the_same_bytes(root, tmp_path):
    make_moving_shapes(tmp_path / 'again', **SMALL)
    assert _files(tmp_path / 'again') == _files(root)


def test_more_videos_leave_the_first_ones_as_they_are(root, tmp_path):
    make_moving_shapes(tmp_path / 'fewer', **SMALL | dict(train_videos=2))
    fewer, more = _files(tmp_path / 'fewer'), _files(root)
    names = [name for name in fewer if name.suffix == '.jpg']
    assert len(names) == (2 + 6) * 16
    assert all(fewer[name] == more[name] for name in names)


def test_another_seed_gives_other_videos(root, tmp_path):
    make_moving_shapes(tmp_path / 'other', **SMALL | dict(seed=4))
    other, ours = _files(tmp_path / 'other'), _files(root)
    names = [name for name in ours if name.suffix == '.jpg']
    assert not any(other[name] == ours[name] for name in names)


def test_train_and_valid_share_no_picture(root):
    pictures = {split: set() for split in ('train', 'valid')}
    for path in root.rglob('*.jpg'):
        pictures[path.parent.name.split('_')[0]].add(path.read_bytes())
    assert len(pictures['train']) == 14 * 16
    assert len(pictures['valid']) == 6 * 16
    assert not pictures['train'] & pictures['valid']


@pytest.mark.parametrize(('split', 'num_videos'), [('train', 14), ('valid', 6)])
def test_annotations_are_those_of_youtube_vis(root, split, num_videos):
    content = json.loads((root / f'{split}.json').read_text())
    videos = {video['id']: video for video in content['videos']}
    assert len(videos) == num_videos
    assert [category['name'] for category in content['categories']] == list(CLASSES)
    tracks = content['annotations']
    assert len({track['id'] for track in tracks}) == len(tracks)
    for track in tracks:
        video = videos[track['video_id']]
        assert 1 <= track['category_id'] <= len(CLASSES)
        for key in ('segmentations', 'bboxes', 'areas'):
            assert len(track[key]) == video['length'] == track['length'] == 16
        assert 'x' in _seen(track)
        for rle, box, area in zip(
            track['segmentations'], track['bboxes'], track['areas'], strict=True
        ):
            if rle is None:
                assert box is None
                assert area is None
                continue
            mask = mask_utils.decode(rle)
            assert mask.shape == (video['height'], video['width']) == (96, 160)
            rows, columns = np.nonzero(mask)
            left, top = columns.min(), rows.min()
            assert box == [left, top, columns.max() - left + 1, rows.max() - top + 1]
            assert area == mask.sum() >= 12
    for video in videos.values():
        assert 2 <= sum(track['video_id'] == video['id'] for track in tracks) <= 5
        for file_name in video['file_names']:
            assert cv2.imread(str(root / 'JPEGImages' / file_name)).shape == (96, 160, 3)


def test_every_class_look_alikes_and_objects_that_come_back(root):
    tracks = json.loads((root / 'train.json').read_text())['annotations']
    assert {track['category_id'] for track in tracks} == {1, 2, 3}
    keys = [(track['video_id'], track['category_id']) for track in tracks]
    twice = {
        video_id for video_id, category_id in set(keys) if keys.count((video_id, category_id)) > 1
    }
    assert len(twice) >= 14 / 2
    returning = [track for track in tracks if '-' in _seen(track).strip('-')]
    assert len(returning) >= 0.1 * len(tracks)


def test_masks_do_not_overlap(videos):
    for _, _, masks, labels in videos:
        assert masks.dtype == bool
        assert len(masks) == len(labels)
        assert masks.sum(0).max() == 1


def test_objects_hide_one_another(videos):
    """An object's visible part is often far below its largest, away from the frame's border."""
    hidden = 0
    for _, _, masks, _ in videos:
        inside = ~(masks[:, :, [0, -1]].any((2, 3)) | masks[..., [0, -1]].any((2, 3)))
        areas = masks.sum((2, 3))
        hidden += ((areas < 0.4 * areas.max(1, keepdims=True)) & inside & (areas > 0)).any(1).sum()
    assert hidden >= 5


def test_masks_lie_on_the_objects(videos):
    """Off the masks there is but smooth background and a little noise; on them there is not."""
    for _, frames, masks, _ in videos:
        for frame, mask in zip(frames[::5], masks.any(0)[::5], strict=True):
            detail = np.abs(frame.astype(float) - cv2.GaussianBlur(frame, (0, 0), 3)).max(2)
            near = cv2.dilate(mask.astype(np.uint8), np.ones((25, 25))) > 0
            if not near.all():  # objects may fill the frame
                assert np.percentile(detail[~near], 99) < 10
            if mask.any():
                assert np.percentile(detail[mask], 99) > 20


def test_motion_is_moderate(videos):
    steps = []
    for _, _, masks, _ in videos:
        for track in masks:
            centres = [np.argwhere(mask).mean(0) if mask.any() else None for mask in track]
            steps += [
                np.linalg.norm(after - before)
                for before, after in pairwise(centres)
                if before is not None and after is not None
            ]
    assert 1 <= np.median(steps) <= 4
    assert np.percentile(steps, 95) < 8


def test_validation_holds_out_combinations_of_colour_and_texture():
    seen, classes = ({'train': set(), 'valid': set()} for _ in range(2))
    for split, combinations in seen.items():
        rng = np.random.default_rng(0)
        for i in range(400):
            thing = _sample_appearance(rng, split, i % 3)
            twin = _look_alike(rng, thing)
            for one in (thing, twin):
                measure = np.abs(np.log(np.divide(FREQUENCIES, one.frequency))).argmin()
                combinations.add((one.hue_bin, int(measure)))
                classes[split].add((one.hue_bin, one.pattern))
            difference = np.abs(thing.colours()[0] - twin.colours()[0]).max()
            assert difference > 20  # look-alikes can be told apart
    assert len(seen['train']) == 12
    assert len(seen['valid']) == 6
    assert not seen['train'] & seen['valid']
    assert classes['train'] == classes['valid']  # colour does not tell the class
    for axis in range(2):
        assert {pair[axis] for pair in seen['train']} == {pair[axis] for pair in seen['valid']}


def test_second_call_leaves_the_data_as_it_is(root):
    before = {path: path.stat().st_mtime_ns for path in root.rglob('*')}
    assert not make_moving_shapes(root, **SMALL)
    assert {path: path.stat().st_mtime_ns for path in root.rglob('*')} == before


def test_other_parameters_need_force(tmp_path):
    out = tmp_path / 'out'
    few = dict(train_videos=1, valid_videos=1, length=4)
    make_moving_shapes(out, **few)
    with pytest.raises(InputError, match=r'other parameters.*--force'):
        make_moving_shapes(out, **few | dict(seed=1))
    assert make_moving_shapes(out, **few | dict(seed=1), force=True)
    assert json.loads((out / 'meta.json').read_text())['seed'] == 1


def test_a_folder_with_something_else_is_never_replaced(tmp_path):
    (tmp_path / 'thesis.tex').write_text('years of work')
    with pytest.raises(InputError, match='something else than moving shapes'):
        make_moving_shapes(tmp_path, force=True)
    assert (tmp_path / 'thesis.tex').exists()


def test_an_interrupted_run_leaves_nothing_behind(tmp_path, monkeypatch):
    from mmvis_cl.datasets.converters import moving_shapes

    calls = []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return render_video(*args)

    monkeypatch.setattr(moving_shapes, 'render_video', interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_moving_shapes(tmp_path / 'out', train_videos=3, valid_videos=1, length=4)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(train_videos=0), 'train_videos is 0; give 1 or more'),
        (dict(length=1), 'length is 1; give 2 or more'),
        (dict(size=(160, 32)), 'height is 32; give 64 or more'),
        (dict(seed=-1), 'seed is -1; give 0 or more'),
    ],
)
def test_numbers_out_of_range(tmp_path, arguments, message):
    with pytest.raises(InputError, match=message):
        make_moving_shapes(tmp_path / 'out', **arguments)


def test_what_cannot_be_made(tmp_path):
    (tmp_path / 'file').touch()
    for path, options, message in (
        ('file', {}, 'holds something else'),
        ('file/below', {}, 'cannot be written'),
        ('x' * 300, {}, 'too long'),
        ('big', dict(size=(100_000, 100_000)), 'a video is made in memory; give a smaller'),
        ('long', dict(length=10**7), 'a video is made in memory; give a smaller'),
        ('none', dict(train_videos=0), 'train_videos is 0; give 1 or more'),
    ):
        with pytest.raises(InputError, match=message):
            make_moving_shapes(tmp_path / path, **options)
    assert [path.name for path in tmp_path.iterdir()] == ['file']


def test_too_little_room_is_said_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match=r'out: the videos take .* GiB are free; free some space'):
        make_moving_shapes(tmp_path / 'out', train_videos=1, valid_videos=1)
    assert not list(tmp_path.iterdir())


def _gaps(seen):
    """Lengths of the times in which an object was not seen, between those in which it was."""
    times = np.flatnonzero(seen)
    return [int(step) - 1 for step in np.diff(times) if step > 1]


@pytest.mark.parametrize('length', [15, 80])
def test_long_gaps(length):
    """The two that look alike are both away for long, and come back elsewhere."""
    longest, returned = [], []
    for seed in range(6):
        rng = np.random.default_rng([seed, 5])
        _, masks, labels = render_video(rng, length, split='valid', long_gaps=True)
        gaps = [max(_gaps(track.any((1, 2))), default=0) for track in masks]
        away = [track for track, gap in zip(masks, gaps, strict=True) if gap >= 5]
        assert len(away) >= 2
        assert Counter(labels.tolist()).most_common(1)[0][1] >= 2
        longest.append(max(gaps))
        for track in away:
            seen = np.flatnonzero(track.any((1, 2)))
            last = int(np.argmax(np.diff(seen)))
            before, after = (np.argwhere(track[seen[t]]).mean(0) for t in (last, last + 1))
            returned.append(np.linalg.norm(after - before))
    assert max(longest) <= 60 + 10  # the gap, and what hides the object beside it
    assert length < 80 or max(longest) > 30
    assert np.median(returned) > 20


def test_long_gaps_are_other_data_and_need_room(tmp_path):
    few = dict(train_videos=1, valid_videos=1, length=15)
    make_moving_shapes(tmp_path / 'data', long_gaps=True, **few)
    with pytest.raises(InputError, match='other parameters'):
        make_moving_shapes(tmp_path / 'data', **few)
    assert not make_moving_shapes(tmp_path / 'data', long_gaps=True, **few)
    with pytest.raises(InputError, match='length is 14; give 15 or more'):
        make_moving_shapes(tmp_path / 'other', long_gaps=True, **few | dict(length=14))
