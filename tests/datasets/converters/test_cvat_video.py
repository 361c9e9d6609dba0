"""CVAT's export; every expected mask is written down by hand."""

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_utils
from small_videos import number, write_video

from mmvis_cl.datasets.converters.cvat_video import read_cvat
from mmvis_cl.datasets.converters.frame_files import ImageFrames, VideoFrames
from mmvis_cl.datasets.converters.own_videos import write_data_set
from mmvis_cl.datasets.video_source import read_image
from mmvis_cl.errors import InputError

TASK = """<task><id>7</id><name>street</name><size>4</size><mode>interpolation</mode>
<start_frame>0</start_frame><stop_frame>3</stop_frame><frame_filter></frame_filter>
<labels>
<label><name>car</name><color>#fa3253</color><attributes></attributes></label>
<label><name>person</name><attributes></attributes></label>
<label><name>knee</name><parent>person</parent></label>
</labels><original_size><width>30</width><height>20</height></original_size>
<source>clip.mp4</source></task>"""


def export(path, tracks, meta=TASK):
    path.write_text(
        f"<?xml version='1.0' encoding='utf-8'?>\n<annotations><version>1.1</version><meta>{meta}"
        f'<dumped>2024-01-01</dumped></meta>{tracks}</annotations>'
    )
    return path


def track(*shapes, label='car', number=0, more=''):
    return f'<track id="{number}" label="{label}" source="manual" {more}>{"".join(shapes)}</track>'


def shape(kind, frame, outside=0, inside='', **values):
    values = ' '.join(f'{key}="{value}"' for key, value in values.items())
    return (
        f'<{kind} frame="{frame}" keyframe="1" outside="{outside}" occluded="0" {values} '
        f'z_order="0">{inside}</{kind}>'
    )


def square(frame, outside=0, left=4, **more):
    """Rows 2 to 4, three columns from ``left`` on, of a mask whose box is one column wider."""
    return shape(
        'mask',
        frame,
        outside,
        rle='0, 3, 1, 3, 1, 3, 1',
        left=left,
        top=2,
        width=4,
        height=3,
        **more,
    )


SQUARE = np.zeros((20, 30), np.uint8)
SQUARE[2:5, 4:7] = 1


@pytest.fixture
def frames(tmp_path):
    folder = tmp_path / 'frames'
    folder.mkdir()
    for t in range(4):
        Image.new('RGB', (30, 20)).save(folder / f'frame_{t:06d}.png')
    return folder


@pytest.fixture
def read(tmp_path, frames):
    def read(tracks, meta=TASK, frames=frames, **options):
        return read_cvat([export(tmp_path / 'a.xml', tracks, meta)], frames, **options)

    return read


def pixels(track, frame):
    return mask_utils.decode(track.masks[frame])


def test_a_task(read, frames):
    annotations = read(
        track(square(1), square(2, left=20), square(3, 1))
        + track(
            shape('polygon', 0, points='1.00,1.00;5.00,1.00;5.00,4.00;1.00,4.00'),
            shape('polygon', 1, 1, points='1,1;5,1;5,4'),
            shape('polygon', 3, points='10,5;12,5;12,15;10,15'),
            label='person',
            number=1,
        )
    )
    assert annotations.categories == [dict(id=1, name='car'), dict(id=2, name='person')]
    assert annotations.notes == []
    (video,) = annotations.videos
    assert (video.name, video.size) == ('street', (20, 30))
    assert [path.name for path in video.frames.paths] == [f'frame_{t:06d}.png' for t in range(4)]
    car, person = video.tracks
    assert (car.category_id, person.category_id) == (1, 2)
    assert list(car.masks) == [1, 2] and list(person.masks) == [0, 3]
    assert np.array_equal(pixels(car, 1), SQUARE)
    assert np.array_equal(pixels(car, 2), np.roll(SQUARE, 16, axis=1))
    expected = np.zeros((20, 30), bool)
    expected[1:4, 1:5] = True
    assert np.array_equal(pixels(person, 0), expected)
    assert mask_utils.toBbox(person.masks[3]).tolist() == [10, 5, 2, 10]


def test_ellipse_and_turned_box(read):
    (video,) = read(
        track(
            shape('ellipse', 0, cx=15, cy=10, rx=8, ry=4),
            shape('ellipse', 1, cx=15, cy=10, rx=8, ry=4, rotation=90),
            shape('box', 2, xtl=10, ytl=8, xbr=20, ybr=12),
            shape('box', 3, xtl=10, ytl=8, xbr=20, ybr=12, rotation=45),
        ),
        boxes='fill',
    ).videos
    masks = [pixels(video.tracks[0], t) for t in range(4)]
    assert masks[0].sum() == pytest.approx(np.pi * 8 * 4, rel=0.05)
    rows, columns = np.nonzero(masks[0])
    assert np.allclose([np.ptp(rows), np.ptp(columns)], [7, 15], atol=1)
    rows, columns = np.nonzero(masks[1])
    assert np.allclose([np.ptp(rows), np.ptp(columns)], [15, 7], atol=1)
    expected = np.zeros((20, 30), bool)
    expected[8:12, 10:20] = True
    assert np.array_equal(masks[2], expected)
    # turned clockwise: the right end goes down
    assert masks[3].sum() == pytest.approx(40, abs=5)
    assert masks[3][13, 18] and masks[3][7, 12] and not masks[3][7, 18]


@pytest.mark.parametrize(('boxes', 'masks'), [('fill', 2), ('skip', 1)])
def test_boxes(read, boxes, masks):
    tracks = track(shape('box', 0, xtl=1, ytl=1, xbr=3, ybr=3), square(1), square(2, 1), number=4)
    annotations = read(tracks, boxes=boxes)
    assert len(annotations.videos[0].tracks[0].masks) == masks
    assert annotations.notes[0].startswith(f'1 boxes were {dict(fill="taken", skip="skip")[boxes]}')
    with pytest.raises(InputError, match=r"'street', track 4 \(car\), frame 0: is a box.*--boxes"):
        read(tracks)


def test_other_shapes(read):
    tracks = track(shape('points', 0, points='1,2'), shape('points', 1, 1, points='1,2')) + track(
        square(0), square(1, 1)
    )
    with pytest.raises(InputError, match=r'a points has no area; .* --ignore points'):
        read(tracks)
    annotations = read(tracks, ignore=['points'])
    assert len(annotations.videos[0].tracks) == 1
    assert annotations.notes[0] == '1 shapes without an area were left out'


def test_masks_of_one_object(read):
    """Brush masks come as tracks of one frame."""

    def mask(number, frame, group='', value='', left=4, label='car'):
        inside = f'<attribute name="number">{value}</attribute>' if value else ''
        more = f'group_id="{group}"' if group else ''
        return track(
            square(frame, left=left, inside=inside), square(frame + 1, 1, inside=inside),
            number=number, more=more, label=label,
        )  # fmt: skip

    tracks = (
        mask(0, 0, '5', 'a')
        + mask(1, 1, '5', 'a')
        + mask(2, 1, '5', 'b', left=7)  # the other part of the object
        + mask(3, 1, '5', 'a', label='person')
        + mask(4, 2, '', 'b')
    )
    annotations = read(tracks)  # masks that CVAT has grouped are one object
    assert [list(t.masks) for t in annotations.videos[0].tracks] == [[0, 1], [1], [2]]
    annotations = read(tracks, identity='track')
    assert [list(t.masks) for t in annotations.videos[0].tracks] == [[0], [1], [1], [1], [2]]
    assert annotations.notes[0].startswith('5 objects are seen in one frame only')
    annotations = read(tracks, identity='group')
    car, person, alone = annotations.videos[0].tracks
    assert (list(car.masks), list(person.masks), list(alone.masks)) == ([0, 1], [1], [2])
    assert pixels(car, 1)[2:5, 4:10].all() and pixels(car, 1).sum() == 18
    assert pixels(car, 0).sum() == 9 and annotations.notes == []
    annotations = read(tracks, identity='attribute:number')
    found = [list(t.masks) for t in annotations.videos[0].tracks]
    assert found == [[0, 1], [1, 2], [1]]
    with pytest.raises(InputError, match=r"frame 0: has no attribute 'name'; fill it in"):
        read(tracks, identity='attribute:name')


def test_frames_that_are_not_labelled(read, frames):
    tracks = track(square(0), square(2), square(3)) + track(square(0), square(1, 1), number=1)
    with pytest.raises(
        InputError, match=r'seen in frame 0 and has no shape in frame 1.*--drop-unl'
    ):
        read(tracks)
    annotations = read(tracks, drop_unlabelled=True)
    (video,) = annotations.videos
    assert [path.stem[-1] for path in video.frames.paths] == ['0', '2', '3']
    assert [list(t.masks) for t in video.tracks] == [[0, 1, 2], [0]]
    assert annotations.notes[0] == '1 frames without a label or image were left out'
    # deleted in CVAT: neither image nor shapes
    (frames / 'frame_000001.png').unlink()
    tracks = track(square(2), square(3))
    with pytest.raises(InputError, match='no image of frame 1'):
        read(tracks)
    (video,) = read(tracks, drop_unlabelled=True).videos
    assert len(video.frames) == 3 and list(video.tracks[0].masks) == [1, 2]


def test_a_part_of_a_video_in_steps(read, tmp_path):
    meta = TASK.replace('<start_frame>0', '<start_frame>2').replace(
        '<stop_frame>3</stop_frame><frame_filter>', '<stop_frame>8</stop_frame><frame_filter>step=3'
    )
    path = write_video(tmp_path / 'clip.mp4', size=(20, 30))
    (video,) = read(track(square(5), square(8)), meta, frames=path).videos
    assert isinstance(video.frames, VideoFrames) and video.frames.numbers == [2, 5, 8]
    assert list(video.tracks[0].masks) == [1, 2]
    with pytest.raises(InputError, match='the frames 2 to 8 in steps of 3'):
        read(track(square(6)), meta, frames=path)


def test_outside_in_frames_that_the_task_does_not_have(read, tmp_path):
    """Old versions of CVAT end what is seen in the last frame so; it says nothing of any frame."""
    shapes = [square(t) for t in range(4)]
    (video,) = read(track(*shapes, square(4, 1))).videos
    assert [pixels(video.tracks[0], t).sum() for t in range(4)] == [9] * 4
    (video,) = read(track(square(-1, 1), *shapes[2:], square(9, 1), square(9, 1))).videos
    assert list(video.tracks[0].masks) == [2, 3]
    # it does not hide that frames before it lack a shape
    with pytest.raises(InputError, match='seen in frame 1 and has no shape in frame 2'):
        read(track(square(1), square(4, 1)))
    with pytest.raises(InputError, match='frame 4: the task has the frames 0 to 3'):
        read(track(*shapes, square(4)))
    # between the frames of a task in steps, and before its first
    meta = TASK.replace('<start_frame>0', '<start_frame>2').replace(
        '<stop_frame>3</stop_frame><frame_filter>', '<stop_frame>8</stop_frame><frame_filter>step=3'
    )
    path = write_video(tmp_path / 'clip.mp4', size=(20, 30))
    tracks = track(square(0, 1), square(2), square(5), square(6, 1))
    (video,) = read(tracks, meta, frames=path).videos
    assert list(video.tracks[0].masks) == [0, 1]


def test_two_shapes_of_a_track_in_one_frame(read):
    """Where jobs of a task meet: seen counts more than outside, drawn more than interpolated."""

    def only(*shapes):
        (video,) = read(track(*shapes)).videos
        return {t: mask_utils.toBbox(m).tolist()[0] for t, m in video.tracks[0].masks.items()}

    doubled = [square(2, 1), square(2, 1)]
    assert only(square(0), square(1), *doubled) == {0: 4, 1: 4}
    for order in (1, -1):
        shapes = [square(1), square(1, 1)][::order]
        assert only(square(0), *shapes, square(2, left=6), square(3, 1)) == {0: 4, 1: 4, 2: 6}
        guessed = square(1, left=5).replace('keyframe="1"', 'keyframe="0"')
        assert only(square(0), *[guessed, square(1)][::order], square(2, 1)) == {0: 4, 1: 4}
    hidden = square(1).replace('occluded="0"', 'occluded="1"')
    assert only(square(0), square(1), hidden) == {0: 4, 1: 4}
    with pytest.raises(InputError, match=r'frame 1: the track has 2 different shapes; remove'):
        only(square(0), square(1), square(1, left=9))


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('<width>30', '<width>2000000000', 'is 30x20 .* for 2000000000x20; give'),
        ('<width>30', '<width>-30', 'is 30x20 .* for -30x20; give'),
        ('<stop_frame>3', '<stop_frame>2000000000', 'the most are 10000000; export'),
        ('<stop_frame>3', f'<stop_frame>{"9" * 5000}', 'is missing or no number'),
        ('<start_frame>0', '<start_frame>-1', r'has no frames \(-1 to 3\)'),
    ],
)
def test_sizes_that_nobody_has(read, old, new, message):
    with pytest.raises(InputError, match=message) as error:
        read(track(square(0), square(1, 1)), TASK.replace(old, new))
    assert len(str(error.value)) < 500


def test_a_task_that_is_far_longer_than_its_video(read, tmp_path):
    path = write_video(tmp_path / 'clip.mp4', size=(20, 30))
    meta = TASK.replace('<stop_frame>3', '<stop_frame>9000000')
    with pytest.raises(InputError, match='has about 12 frames, the annotations go to frame 900000'):
        read(track(square(0), square(1, 1)), meta, frames=path)


def test_videos_outside_of_the_folder(read, tmp_path, frames):
    """The name of a task is no way out of --frames."""
    for name in ('..', '../frames', str(frames), '.'):
        (tmp_path / 'root').mkdir(exist_ok=True)
        meta = TASK.replace('<name>street', f'<name>{name}')
        with pytest.raises(InputError, match='holds no folder of images'):
            read(track(square(0), square(1, 1)), meta, frames=tmp_path / 'root')
    meta = TASK.replace('<name>street', f'<name>{"x" * 300}')
    with pytest.raises(InputError, match='holds no folder of images'):
        read(track(square(0), square(1, 1)), meta, frames=tmp_path / 'root')


def test_a_name_with_a_colon(read, tmp_path):
    write_video(tmp_path / 'plain.mp4', length=4, size=(20, 30)).rename(tmp_path / 'a:b.mp4')
    meta = TASK.replace('<name>street', '<name>a:b')
    (video,) = read(track(square(0), square(1, 1)), meta, frames=tmp_path).videos
    assert video.name == 'a:b' and video.frames.path.name == 'a:b.mp4'


def test_a_recording_that_starts_late(read, tmp_path):
    """Its frames are counted from its first, not from the time 0, and it is whole."""
    times = [100_000 + 100 * t for t in range(4)]
    path = write_video(tmp_path / 'a:b.mkv', length=4, size=(20, 30), times=times)
    annotations = read(track(square(0), *[square(t) for t in (1, 2, 3)]), frames=path)
    (report,) = write_data_set(tmp_path / 'out', annotations)
    assert (report.frames, report.masks) == (4, 4)
    saved = sorted((tmp_path / 'out' / 'JPEGImages' / 'street').iterdir())
    assert [number(read_image(path)) for path in saved] == [0, 1, 2, 3]


def test_size_from_the_frames_if_the_export_has_none(read):
    meta = TASK[: TASK.index('<original')] + '</task>'
    (video,) = read(track(square(0), square(1, 1)), meta).videos
    assert video.size == (20, 30)


def test_a_project(tmp_path, frames):
    job = '<id>{}</id><name>{}</name><size>4</size><subset>Train</subset>'
    meta = (
        '<project><id>1</id><name>p</name><tasks>'
        f'<task>{job.format(7, "a")}</task><task>{job.format(9, "b")}</task></tasks>'
        '<labels><label><name>car</name></label></labels></project>'
    )
    tracks = track(square(0), square(1, 1), more='task_id="9" subset="Train"')
    root = tmp_path / 'videos'
    root.mkdir()
    frames.rename(root / 'a')
    write_video(root / 'b.mp4', length=4, size=(20, 30))
    path = export(tmp_path / 'a.xml', tracks, meta)
    a, b = read_cvat([path], root).videos
    assert isinstance(a.frames, ImageFrames) and isinstance(b.frames, VideoFrames)
    assert (a.name, a.tracks, b.name, len(b.tracks)) == ('a', [], 'b', 1)
    with pytest.raises(InputError, match=r"root: |videos: holds no .* 'b' or 'task_9' or '9'"):
        (root / 'b.mp4').unlink()
        read_cvat([path], root)
    bad = export(tmp_path / 'b.xml', tracks.replace('"9"', '"8"'), meta)
    with pytest.raises(InputError, match=r'track 0 is of task 8, which <meta> does not have'):
        read_cvat([bad], root)


def test_several_exports(tmp_path, frames):
    root = tmp_path / 'videos'
    root.mkdir()
    frames.rename(root / 'street')
    other = TASK.replace('car', 'dog').replace('<id>7', '<id>8')
    paths = [
        export(tmp_path / 'a.xml', track(square(0), square(1, 1))),
        export(tmp_path / 'b.xml', track(square(0), square(1, 1), label='dog'), other),
    ]
    with pytest.raises(InputError, match="is the video of task 'street' and of another one"):
        read_cvat(paths, root)
    paths[1].write_text(paths[1].read_text().replace('street', 'yard'))
    write_video(root / 'yard.mp4', length=4, size=(20, 30))
    annotations = read_cvat(paths, root)
    assert [c['name'] for c in annotations.categories] == ['car', 'person', 'dog']
    assert [v.tracks[0].category_id for v in annotations.videos] == [1, 3]


@pytest.mark.parametrize(
    ('tracks', 'message'),
    [
        (track(square(0), label='bus'), r'track 0 \(bus\): its label is not in <meta>'),
        (track(square(4)), 'frame 4: the task has the frames 0 to 3'),
        (track(square('x')), "frame='x' of a mask is no number"),
        (track(square('1.5')), "frame='1.5' of a mask is no whole number"),
        (track(square('1e300')), r'frame 1\d*\.\.\.\d*: the task has the frames 0 to 3'),
        (track(square(0, left=4.5)), "left='4.5' of a mask is no whole number"),
        (track(square(0).replace('0, 3, 1', f'0, 3, {2**80}')), 'the RLE is broken'),
        (track(square(0).replace('0, 3, 1', f'-3, {2**63}, {2**63}')), 'the RLE is broken'),
        (track(shape('polygon', 0, points='1,1;nan,2;3,3')), 'frame 0: .*no finite number'),
        (track(shape('polygon', 0, points='1,1;2e8,2;3,3')), 'frame 0: .*pixels outside'),
        (track(shape('ellipse', 0, cx=1, cy=1, rx=1e9, ry=2)), 'frame 0: .*pixels outside'),
        (track(shape('ellipse', 0, cx=1, cy=1, rx=1, ry=2, rotation='x')), "rotation='x'"),
        (track(shape('polygon', 0, points='1,1;2,2')), 'at least three points'),
        (track(shape('polygon', 0, points='1,1;2;3,3')), 'points of the polygon are broken'),
        (track(square(0).replace('0, 3, 1', '0, 4, 1')), '13 pixels for 4x3'),
        (track(square(0).replace('0, 3, 1', 'x, 3')), 'the RLE is broken'),
        (track(square(0, left=27)), 'goes to 31x5, the frame is only 30x20'),
        (track(square(0, left=-1)), 'lies outside'),
        (track(shape('ellipse', 0, cx=1, cy=1, rx='nan', ry=2)), "rx='nan'"),
        ('<image id="0" name="a.png"></image>', 'CVAT for images'),
    ],
)
def test_broken_exports(read, tracks, message):
    with pytest.raises(InputError, match=message) as error:
        read(tracks)
    assert '\n' not in str(error.value) and '; ' in str(error.value)


def test_files_that_are_no_export(tmp_path, frames):
    import zipfile

    path = tmp_path / 'a.xml'
    with pytest.raises(InputError, match='there is no such file'):
        read_cvat([path], frames)
    for text, message in (
        ('<annotations><meta>', 'not valid XML'),
        ('<html></html>', 'not made by CVAT'),
        ('<?xml version="1.0" encoding="none"?><a/>', 'not valid XML'),
        ('<?xml version="1.0" encoding="utf-7"?><a/>', 'not valid XML'),
        ('<a>&#xD800;</a>', 'not valid XML'),
        ('<!DOCTYPE a [<!ENTITY b "b"><!ENTITY c "' + '&b;' * 10**5 + '"><!ENTITY d "'
         + '&c;' * 10**5 + '">]><a>&d;</a>', 'not valid XML'),
        ('<annotations><meta></meta></annotations>', 'has no task'),
        (f'<annotations><meta>{TASK.replace("<stop_frame>3", "<stop_frame>-5")}</meta>'
         '</annotations>', 'has no frames'),
        ('<annotations><meta><task><id>1</id></task></meta></annotations>', 'is missing or no'),
    ):  # fmt: skip
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            read_cvat([path], frames)
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('annotations.xml', 'x')
    with pytest.raises(InputError, match='not valid XML'):
        read_cvat([path], frames)
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('other.xml', 'x')
    with pytest.raises(InputError, match=r'has no annotations\.xml'):
        read_cvat([path], frames)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError):
        read_cvat([path], frames)


def test_a_file_of_many_bytes_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / 'annotations.xml'
    path.write_text('<annotations>' + ' ' * 100)
    monkeypatch.setenv('MMVIS_CL_MAX_XML_BYTES', '50')
    with pytest.raises(InputError, match=r'113 bytes of XML.*raise MMVIS_CL_MAX_XML_BYTES'):
        read_cvat([path], tmp_path)
