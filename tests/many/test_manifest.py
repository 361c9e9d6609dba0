"""Lists of videos."""

import pytest

from mmvis_cl.errors import InputError
from mmvis_cl.many.manifest import read_manifest


@pytest.fixture
def read(tmp_path):
    def call(name, text, **options):
        (tmp_path / name).write_text(text)
        return list(read_manifest(str(tmp_path / name), **options))

    return call


def test_txt(read, tmp_path):
    text = '\ufeffa.mp4\n\n# a comment\n/elsewhere/b c.mp4\nhttp://host/d.mp4?x=1\n'
    videos = read('v.txt', text, max_frames=9)
    assert [v.id for v in videos] == ['a.mp4', '/elsewhere/b c.mp4', 'http://host/d.mp4?x=1']
    assert [v.source for v in videos] == [f'{tmp_path}/a.mp4', *(v.id for v in videos[1:])]
    assert all(v.max_frames == 9 and v.start == 0 and v.classes is None for v in videos)


def test_csv(read, tmp_path):
    text = (
        'id, path, start, end, classes, weather\nx, a.mp4, 3, 10, person;dog, rain\n7,b.mp4,,,,\n'
    )
    first, second = read('v.csv', text, start=1, max_frames=5)
    assert (first.id, first.video_id, first.source) == ('x', 'x', f'{tmp_path}/a.mp4')
    assert (first.start, first.max_frames, first.classes) == (3, 7, ('person', 'dog'))
    assert first.frames == 7
    assert (second.id, second.video_id, second.start, second.max_frames) == ('7', 7, 1, 5)


def test_jsonl(read):
    text = '{"source": "a.mp4", "end": 4, "classes": ["a", "b"]}\n\n{"url": "s3://b/c", "id": 5}\n'
    first, second = read('v.jsonl', text)
    assert (first.id, first.max_frames, first.classes) == ('a.mp4', 4, ('a', 'b'))
    assert (second.id, second.video_id, second.source) == ('5', 5, 's3://b/c')


@pytest.mark.parametrize(
    ('name', 'text', 'message'),
    [
        ('v.csv', 'a.mp4\nb.mp4\n', 'v.csv: has no column `source`; name the columns'),
        ('v.csv', 'source,strat\na,1\n', r"row 2: has 'strat'; did you mean start\?"),
        ('v.csv', 'source,start\na.mp4,x\n', "row 2: start is 'x'; give the number of a frame"),
        ('v.csv', 'source,start,end\na.mp4,5,5\n', 'row 2: end 5 is not behind start 5'),
        ('v.csv', 'source,id\n,x\n', 'row 2: names no video'),
        ('v.jsonl', '{"source": "a", "start": 1.5}', 'line 1: start is 1.5; give the number'),
        ('v.jsonl', '{"source": "a", "start": -1}', 'line 1: start is -1; give the number'),
        ('v.jsonl', '{"source": 3}', 'line 1: names no video'),
        ('v.jsonl', '{"source": "a", "classes": [1]}', r'line 1: classes is \[1\]; give names'),
        ('v.jsonl', '["a.mp4"]', 'line 1: is no object'),
        ('v.jsonl', '{"source": "a"}\n{', 'line 2: not valid JSON'),
    ],
)
def test_what_is_wrong_is_said_with_its_line(read, name, text, message):
    with pytest.raises(InputError, match=message):
        read(name, text)
