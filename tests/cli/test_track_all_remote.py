"""Videos and results elsewhere: in memory, and at an HTTP server of this machine."""

import functools
import http.server
import json
import threading

import pytest

from mmvis_cl.apis import track_all
from mmvis_cl.errors import InputError
from mmvis_cl.many.remote import fetch
from mmvis_cl.many.sources import find_videos

fsspec = pytest.importorskip('fsspec', reason="pip install 'mmvis_cl[remote]'")


@pytest.fixture
def memory():
    """fsspec's files in memory, empty."""
    files = fsspec.filesystem('memory')
    files.store.clear()
    yield files
    files.store.clear()


@pytest.fixture
def server(tmp_path):
    """The address of a server of the files in a folder."""
    pytest.importorskip('aiohttp', reason="pip install 'mmvis_cl[remote]'")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Handler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as at:
        threading.Thread(target=at.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{at.server_port}'
        at.shutdown()


def test_folders_patterns_and_lists(memory):
    for name in ('in/a.mp4', 'in/b/c.mkv', 'in/notes.txt'):
        memory.pipe_file(name, b'')
    memory.pipe_file('in/list.csv', b'source,id\nb/c.mkv,seven\nmemory://in/a.mp4,7\n')
    found = find_videos(['memory://in'])
    assert [(v.id, v.source) for v in found] == [
        ('a.mp4', 'memory:///in/a.mp4'),
        ('b/c.mkv', 'memory:///in/b/c.mkv'),
    ]
    assert [v.id for v in find_videos(['memory://in/*.mp4'])] == ['a.mp4']
    assert [v.id for v in find_videos(['memory://in'], pattern='*.mkv')] == ['b/c.mkv']
    assert [v.id for v in find_videos(['memory://in/a.mp4'])] == ['a.mp4']
    first, second = find_videos(['memory://in/list.csv'])
    assert (first.id, first.source) == ('seven', 'memory://in/b/c.mkv')
    assert (second.video_id, second.source) == (7, 'memory://in/a.mp4')
    with pytest.raises(InputError, match=r'memory://in/\*\.mov: no file matches'):
        find_videos(['memory://in/*.mov'])


def test_a_file_is_copied_under_its_name(server, tmp_path):
    (tmp_path / 'a b.mp4').write_bytes(b'content')
    (tmp_path / 'here').mkdir()
    path = fetch(f'{server}/a%20b.mp4', tmp_path / 'here')
    assert path.read_bytes() == b'content' and path.suffix == '.mp4'
    with pytest.raises(InputError, match=r'none\.mp4: cannot be read \(FileNotFoundError'):
        fetch(f'{server}/none.mp4', tmp_path / 'here')
    assert [p.name for p in (tmp_path / 'here').iterdir()] == [path.name]


@pytest.mark.parametrize('place', ['memory', 'http'])
def test_results_are_those_of_the_same_videos_here(place, memory, server, model, video, tmp_path):
    """From a server, or from memory, to memory; a missing one is told, and all is done once."""
    (tmp_path / 'a.mp4').write_bytes(video.read_bytes())
    if place == 'memory':
        memory.pipe_file('in/a.mp4', video.read_bytes())
    root = 'memory://in' if place == 'memory' else server
    sources = [f'{root}/a.mp4', f'{root}/none.mp4']
    outputs = ['json', 'coco', 'masks']
    here = track_all(
        tmp_path / 'a.mp4', tmp_path / 'out', model[1], model[3], outputs=outputs, workers=0
    )
    assert [record.done for record in here] == [True]

    def run(**options):
        there = track_all(
            *(sources, 'memory://out', model[1], model[3]),
            **dict(outputs=outputs, workers=0, log=tmp_path / 'log') | options,
        )
        return list(there), there.summary

    records, summary = run()
    assert [record.done for record in records] == [True, False]
    assert 'none.mp4: cannot be read' in records[1].error
    found = tmp_path / 'out' / 'videos' / 'a.mp4'
    for path in found.rglob('*'):
        if path.is_file() and path.name != 'record.json':
            name = f'out/videos/a.mp4/{path.relative_to(found).as_posix()}'
            assert memory.cat_file(name) == path.read_bytes(), name
    failed = memory.cat_file('out/failed.jsonl').splitlines()
    assert [json.loads(line)['id'] for line in failed] == ['none.mp4']
    assert not [path for path in memory.find('out') if path.endswith('.part')]
    again, summary = run()
    assert again == [] and (summary.before, len(summary.failed)) == (1, 1)
    if place == 'http':
        (tmp_path / 'none.mp4').write_bytes(video.read_bytes())
        records, summary = run(retry_failed=True)
        assert [record.error for record in records] == [''] and not summary.failed
