"""Label Studio's export; every box is worked out by hand on frames of 40 x 20 pixels."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_utils
from small_videos import write_video

from mmvis_cl.datasets.converters.frame_files import VideoFrames
from mmvis_cl.datasets.converters.label_studio import read_label_studio
from mmvis_cl.errors import InputError

SIZE = (20, 40)  # one percent is 0.4 pixels wide and 0.2 high


def key(frame, x, enabled=True, **more):
    """A keyframe: a box of 8 x 4 pixels, 2 from the top, x percent from the left."""
    box = dict(frame=frame, enabled=enabled, x=x, y=10, width=20, height=20, rotation=0)
    return box | dict(time=frame / 10) | more


def region(*sequence, label='car', name='a1', **value):
    value = dict(framesCount=6, duration=0.6, sequence=list(sequence), labels=[label]) | value
    return dict(id=name, type='videorectangle', value=value, from_name='box', to_name='video')


def task(*regions, number=1, video='/data/upload/1/0123abcd-clip.mp4', **annotation):
    return dict(
        id=number,
        data=dict(video=video),
        annotations=[dict(id=5, result=list(regions), **annotation)],
        predictions=[],
    )


@pytest.fixture
def frames(tmp_path):
    folder = tmp_path / 'videos' / 'clip'
    folder.mkdir(parents=True)
    for t in range(6):
        Image.new('RGB', SIZE[::-1]).save(folder / f'{t}.png')
    return folder.parent


@pytest.fixture
def read(tmp_path, frames):
    def read(*tasks, frames=frames, boxes='fill', **options):
        path = tmp_path / 'project.json'
        path.write_text(json.dumps(tasks))
        return read_label_studio(path, frames, boxes, **options)

    return read


def boxes(track):
    return {t: mask_utils.toBbox(mask).tolist() for t, mask in sorted(track.masks.items())}


def test_between_keyframes_the_box_changes_evenly(read):
    annotations = read(
        task(region(key(5, 40, height=40), key(3, 20)), region(key(1, 0), label='b'))
    )
    assert annotations.categories == [dict(id=1, name='b'), dict(id=2, name='car')]
    (video,) = annotations.videos
    assert (video.name, video.size, len(video.frames)) == ('clip', SIZE, 6)
    # frames 3, 4 and 5 of Label Studio, which begins with 1; then it stays
    assert boxes(video.tracks[0]) == {
        2: [8, 2, 8, 4],
        3: [12, 2, 8, 6],
        4: [16, 2, 8, 8],
        5: [16, 2, 8, 8],
    }
    assert boxes(video.tracks[1]) == {t: [0, 2, 8, 4] for t in range(6)}
    assert [track.category_id for track in video.tracks] == [2, 1]
    assert annotations.notes == ['10 boxes were taken as masks']


def test_it_disappears_after_a_keyframe_that_is_not_enabled(read):
    """In that frame it is seen for the last time, as in Label Studio."""
    (video,) = read(task(region(key(2, 0), key(3, 20, False), key(6, 40)))).videos
    assert boxes(video.tracks[0]) == {1: [0, 2, 8, 4], 2: [8, 2, 8, 4], 5: [16, 2, 8, 4]}
    # frames between keyframes may be exported as well
    (video,) = read(task(region(*[key(f, 10 * f, f != 4, auto=f == 3) for f in (2, 3, 4)]))).videos
    assert {t: box[0] for t, box in boxes(video.tracks[0]).items()} == {1: 8, 2: 12, 3: 16}


def test_a_turned_box(read):
    """Around its upper left corner: a quarter turn brings it to the left of that."""
    (video,) = read(task(region(key(1, 50, rotation=90)))).videos
    mask = mask_utils.decode(video.tracks[0].masks[0])
    assert mask.sum() == 32 and mask[2:10, 16:20].all()


def test_json_min(read):
    value = region(key(1, 0))['value']
    (video,) = read(dict(id=7, video='/data/local-files/?d=some/clip.mp4', box=[value])).videos
    assert video.name == 'clip' and len(video.tracks[0].masks) == 6


def test_a_video_file_and_several_tasks(read, frames, tmp_path):
    write_video(frames / 'task_2.mp4', length=6, size=SIZE)
    tasks = task(region(key(1, 0))), task(region(key(4, 0)), number=2, video='s3://bucket/x.mp4')
    _, other = read(*tasks).videos
    assert isinstance(other.frames, VideoFrames) and len(other.frames) == 6
    assert list(other.tracks[0].masks) == [3, 4, 5] and other.name == 'x'
    skipped = task(region(key(1, 0)), number=3, was_cancelled=True)
    annotations = read(*tasks, skipped)
    assert len(annotations.videos) == 2
    assert annotations.notes[-1] == '1 tasks without an annotation were left out'
    with pytest.raises(InputError, match=r"clip: is the video of two tasks, one of them 'clip'"):
        read(tasks[0], task(region(key(1, 0)), number=4))


def test_another_rate_than_the_videos(read, tmp_path):
    """12 frames in 1.2 s, which Label Studio counted as 24: a keyframe at 13 is in the middle."""
    path = write_video(tmp_path / 'clip.mp4', length=12, size=SIZE)
    fast = region(key(1, 0), key(25, 60), framesCount=24, duration=1.2)
    annotations = read(task(fast, region(key(13, 0), framesCount=24, duration=1.2)), frames=path)
    assert 'counted 24 frames, the video has 12' in annotations.notes[0]
    moving, late = annotations.videos[0].tracks
    lefts = [mask_utils.toBbox(moving.masks[t])[0] for t in range(12)]
    assert np.allclose(lefts, [2 * t + 0.5 for t in range(12)], atol=0.75)
    assert list(late.masks) == list(range(6, 12))
    with pytest.raises(InputError, match=r'clip\.mp4: has 12 frames, Label Studio counted 24'):
        read(task(region(key(1, 0), framesCount=24, duration=2.4)), frames=path)
    # rounding of a duration is no other rate
    annotations = read(task(region(key(1, 0), framesCount=13, duration=1.2)), frames=path)
    assert annotations.notes == ['12 boxes were taken as masks']


def test_what_to_do_with_boxes_and_classes(read):
    with pytest.raises(InputError, match=r"task 1, region 'a1': is a box, .* --boxes fill"):
        read(task(region(key(1, 0))), boxes='refuse')
    annotations = read(task(region(key(1, 0))), boxes='skip', classes=['bus', 'car'])
    assert annotations.videos[0].tracks == [] and annotations.notes == ['6 boxes were skipped']
    assert [c['name'] for c in annotations.categories] == ['bus', 'car']
    with pytest.raises(InputError, match=r"has the label 'car'; add it to --classes"):
        read(task(region(key(1, 0))), classes=['bus'])
    other = dict(id='c', type='choices', value=dict(choices=['day']))
    notes = read(task(region(key(1, 0)), other)).notes
    assert notes[-1] == "1 regions of the kind 'choices' were left out"


def test_several_annotators(read):
    twice = task(region(key(1, 0)))
    twice['annotations'].append(dict(id=6, result=[region(key(4, 0))]))
    with pytest.raises(InputError, match='task 1: has 2 annotations; mark one'):
        read(twice)
    twice['annotations'][1]['ground_truth'] = True
    assert list(read(twice).videos[0].tracks[0].masks) == [3, 4, 5]


@pytest.mark.parametrize(
    ('broken', 'message'),
    [
        (region(key(1, 0), labels=[]), "region 'a1': an object has one label, this one"),
        (region(key(1, 0), labels=['a', 'b']), 'an object has one label, this one'),
        (region(key(1, 0), labels=[5]), '5 is no label'),
        (region(key(1, None)), "region 'a1': its sequence is broken"),
        (region(key(1, float('nan'))), 'its sequence is broken'),
        (region(key(1, 0), key(1, 5)), 'frame 1 has two boxes'),
        (region(5), 'its sequence is broken'),
        (region(key(1, 0, enabled='no')), 'its sequence is broken'),
        (region(key(1, 1e12)), 'pixels outside of the frame'),
        (region(key(1, 0, width=-5)), 'is negative'),
        (region(key(1, 0), framesCount=2e9), 'is no usable number'),
        (region(key(1, 0), framesCount='6'), 'is no usable number'),
        (region(key(1, 0), framesCount=60), 'clip: has 6 frames, Label Studio counted 60'),
        (dict(type='videorectangle'), 'task 1: is no task with an annotated video'),
        (7, 'task 1: is no task with an annotated video'),
    ],
)
def test_broken_regions(read, broken, message):
    with pytest.raises(InputError, match=message) as error:
        read(task(broken))
    assert '\n' not in str(error.value) and '; ' in str(error.value)


@pytest.mark.parametrize('content', [5, None, [], {}, {'id': 3}, {'annotations': 5}, [[]]])
def test_files_of_other_programs(read, content):
    with pytest.raises(InputError, match=r'is no task|has no annotated video'):
        read(content)
