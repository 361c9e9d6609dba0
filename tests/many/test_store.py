"""Results are there whole, with their record, or not at all."""

import json
import os

import pytest

from mmvis_cl.errors import InputError
from mmvis_cl.many.record import VideoRecord
from mmvis_cl.many.remote_store import RemoteStore
from mmvis_cl.many.store import LocalStore, open_store
from mmvis_cl.many.video import folder_name


def record(id='a/b.mp4', **values):
    return VideoRecord(id, '/in/b.mp4', 'key', 'done', **values)


def results(folder, text):
    """Results in an unfinished folder."""
    path = folder / 'results'
    (path / 'masks').mkdir(parents=True)
    (path / 'results.json').write_text(text)
    (path / 'masks' / '00000.png').write_text(text)
    return path


@pytest.fixture(params=['local', 'memory', 'moved'])
def store(request, tmp_path):
    """A folder; a place where files appear whole; one where they get their name by a move."""
    if request.param == 'local':
        yield LocalStore(str(tmp_path / 'out'))
        return
    pytest.importorskip('fsspec', reason="pip install 'mmvis_cl[remote]'")
    if request.param == 'memory':
        from fsspec.implementations.memory import MemoryFileSystem

        yield open_store('memory://results')
        MemoryFileSystem.store.clear()
    else:
        yield open_store(f'file://{tmp_path}/out')


def content(store, name):
    """Of a file of the results, as readers find it; None if it is not there."""
    return store.read(f'videos/{folder_name("a/b.mp4")}/{name}')


def names(store):
    if isinstance(store, RemoteStore):
        paths = store._fs.ls(f'{store._root}/videos', detail=False)
        return [path.rpartition('/')[2] for path in paths]
    return os.listdir(os.path.join(store.out, 'videos'))


def test_results_and_record_come_together_and_replace_older_ones(store):
    store.check()
    assert store.is_empty() and store.record('a/b.mp4') is None
    for text in ('first', 'second'):
        with store.unfinished_folder() as folder:
            store.publish(results(folder, text), record(frames=3, outputs=dict(masks=5)))
        assert not os.path.exists(folder)
        assert store.record('a/b.mp4') == record(frames=3, outputs=dict(masks=5))
        assert content(store, 'results.json').decode() == text
        assert content(store, 'masks/00000.png').decode() == text
    assert len(names(store)) == 1 and not store.is_empty()
    store.publish(None, record(error='why'))
    assert store.record('a/b.mp4').error == 'why'
    assert content(store, 'results.json') is None


def test_records_come_in_the_order_of_the_ids(store):
    store.check()
    for id in ('x', 'a b', 'z/y'):
        store.publish(None, record(id))
    found = list(store.records(['none', 'z/y', 'x', 'a b', '']))
    assert [r and r.id for r in found] == [None, 'z/y', 'x', 'a b', None]


def test_files_of_the_run(store):
    store.check()
    assert store.read('run.json') is None
    store.write('run.json', 'a\n')
    store.write('run.json', 'ä\n')
    assert store.read('run.json').decode() == 'ä\n'


def test_a_file_that_stops_half_way_does_not_count(store, monkeypatch):
    """Whatever is there after an error, nobody takes it for results."""
    store.check()
    broken = IsADirectoryError(21, 'made up')
    if isinstance(store, RemoteStore):
        original = store._put

        def put(content, path):
            if path.endswith('record.json'):
                raise broken
            original(content, path)

        monkeypatch.setattr(store, '_put', put)
    else:
        monkeypatch.setattr(os, 'rename', lambda *paths: (_ for _ in ()).throw(broken))
    with store.unfinished_folder() as folder, pytest.raises(InputError, match='written'):
        store.publish(results(folder, 'half'), record())
    monkeypatch.undo()
    assert store.record('a/b.mp4') is None


def test_what_killed_processes_left_is_removed_by_its_owner(tmp_path):
    ours, other = (LocalStore(str(tmp_path), owner) for owner in ('shard-0of2', 'shard-1of2'))
    ours.check()
    left = [store.unfinished_folder() for store in (ours, other)]
    for folder in left:
        folder.__enter__()
    ours.clean_up(os.getpid() + 1)
    assert len(os.listdir(tmp_path / '.work')) == 2
    ours.clean_up(os.getpid())
    (name,) = os.listdir(tmp_path / '.work')
    assert name.startswith('shard-1of2-')
    other.clean_up()
    assert os.listdir(tmp_path / '.work') == []


def test_records_are_plain_files(tmp_path):
    store = LocalStore(str(tmp_path))
    store.check()
    store.publish(None, record('a', frames=30, seconds=2.0))
    content = json.loads((tmp_path / 'videos' / 'a' / 'record.json').read_text())
    assert content['frames_per_second'] == 15 and content['status'] == 'done'


def test_where_nothing_can_be_written_it_is_said_at_once(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(InputError, match='cannot be written'):
        LocalStore(str(tmp_path / 'file')).check()
    pytest.importorskip('fsspec', reason="pip install 'mmvis_cl[remote]'")
    with pytest.raises(InputError, match=r'nowhere://x: cannot be reached .*; correct it'):
        open_store('nowhere://x')
