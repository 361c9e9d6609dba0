"""Which videos are meant by what somebody types."""

import json

import pytest

from mmvis_cl.errors import InputError
from mmvis_cl.many.sources import find_videos


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Files that are looked at by their names alone."""
    for name in (
        *('day2/cam.MP4', 'day10/cam.mp4', 'day10/clip.mkv', 'day10/notes.txt', 'top.mov'),
        *('frames/1.jpg', 'frames/2.jpg', 'frames/10.jpg', '.hidden/a.mp4', '._top.mov'),
        *('__MACOSX/top.mov', 'out/videos/a/tracked.mp4'),
    ):
        path = tmp_path / 'in' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'')
    monkeypatch.chdir(tmp_path)
    return tmp_path / 'in'


def ids(*sources, **options):
    return [video.id for video in find_videos([str(s) for s in sources], **options)]


def test_a_folder_has_all_videos_below_and_each_folder_of_images(tree):
    found = find_videos([str(tree)], left_out=str(tree / 'out'))
    assert [video.id for video in found] == [
        *('top.mov', 'day2/cam.MP4', 'day10/cam.mp4', 'day10/clip.mkv', 'frames'),
    ]
    assert found[-1].length == 3 and found[-1].source == str(tree / 'frames')
    assert found[0].length is None and found[0].source == str(tree / 'top.mov')
    assert ids(tree / 'frames') == ['frames']  # the folder itself is the video


def test_a_pattern_chooses_in_folders(tree):
    assert ids(tree, pattern='*.mp4', left_out=str(tree / 'out')) == ['day10/cam.mp4']
    assert ids(tree, pattern='cam.*') == ['day2/cam.MP4', 'day10/cam.mp4']
    assert ids(tree, pattern='frames') == ['frames']
    assert ids(tree, pattern='day10/*') == ['day10/cam.mp4', 'day10/clip.mkv', 'day10/notes.txt']


def test_a_glob_names_videos_from_where_it_begins(tree):
    assert sorted(ids('in/*/cam.*')) == ['day10/cam.mp4', 'day2/cam.MP4']
    assert ids('in/**/*.mkv') == ['day10/clip.mkv']
    with pytest.raises(InputError, match='no file matches; check the folder and the quotes'):
        ids('in/*.mkv')


def test_files_have_their_names_and_numbers_stay_numbers(tree):
    (tree / '0007').write_bytes(b'')
    (tree / '7').write_bytes(b'')
    found = find_videos(['in/top.mov', 'in/7', 'in/0007'])
    assert [video.id for video in found] == ['top.mov', '7', '0007']
    assert [video.video_id for video in found] == ['top.mov', 7, '0007']


def test_links_in_a_circle_end(tree):
    (tree / 'day2' / 'up').symlink_to(tree)
    assert ids(tree / 'day2') == [
        *('cam.MP4', 'up/top.mov', 'up/day10/cam.mp4', 'up/day10/clip.mkv', 'up/frames'),
        'up/out/videos/a/tracked.mp4',
    ]


def test_the_same_id_twice_is_refused(tree):
    with pytest.raises(InputError, match=r"two videos have the id 'cam.mp4': .*give the folder"):
        (tree / 'day2' / 'cam.mp4').write_bytes(b'')
        ids('in/day2', 'in/day10')


def test_what_is_not_there_is_said_before_the_work(tree):
    with pytest.raises(InputError, match=r"'in/none.mp4': there is no such file or folder"):
        ids('in/top.mov', 'in/none.mp4')
    (tree / 'empty').mkdir()
    with pytest.raises(InputError, match='empty: has no video'):
        ids('in/empty')


def test_an_annotation_file_names_frames_and_keeps_its_ids(tree):
    video = dict(id=41, width=8, height=6, length=2, file_names=['frames/1.jpg', 'frames/10.jpg'])
    content = dict(videos=[video, dict(video, id=7)], categories=[dict(id=1, name='a')])
    (tree / 'a.json').write_text(json.dumps(content))
    first, second = find_videos(['in/a.json'], images='in')
    assert (first.id, first.video_id, first.length) == ('41', 41, 2)
    assert first.files == ('frames/1.jpg', 'frames/10.jpg') and first.source == str(tree)
    assert (second.id, second.video_id) == ('7', 7)
    with pytest.raises(InputError, match='say by --images where its images are'):
        ids('in/a.json')
