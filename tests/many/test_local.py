"""The engine of one machine: what becomes of videos when workers die, hang or cannot begin."""

import json
import os
import time

import pytest

from mmvis_cl.errors import InputError

IDS = [f'{n}.mp4' for n in range(12)]


def finished(tmp_path):
    """The ids whose results are in place, by the results themselves."""
    folders = (tmp_path / 'out' / 'videos').iterdir()
    files = [folder / 'results.json' for folder in folders]
    return {json.loads(f.read_text())[0]['video_id'] for f in files if f.exists()}


def test_every_video_is_done_once(start, tmp_path):
    records, run = start(IDS)
    assert records.keys() == set(IDS) == finished(tmp_path)
    assert all(record.done for record in records.values())
    assert (run.summary.done, run.summary.frames, run.summary.left) == (12, 12 * 16, 0)
    assert os.listdir(tmp_path / 'out' / '.work') == []


def test_what_a_worker_died_of_is_tried_once_more(start, tmp_path):
    records, _ = start(['die-once.mp4', *IDS])
    assert all(record.done for record in records.values())
    assert finished(tmp_path) == {'die-once.mp4', *IDS}
    assert os.listdir(tmp_path / 'out' / '.work') == []  # nothing of the first attempt


@pytest.mark.parametrize('workers', [1, 3])
def test_what_kills_each_worker_is_set_aside(start, tmp_path, workers):
    records, run = start(['die-a.mp4', *IDS, 'die-b.mp4'], workers=workers)
    failed = {id: record for id, record in records.items() if not record.done}
    assert failed.keys() == {'die-a.mp4', 'die-b.mp4'}
    assert 'ended by signal 9' in failed['die-a.mp4'].error
    assert 'attempt 2, the last' in failed['die-a.mp4'].error
    assert finished(tmp_path) == set(IDS)
    assert [record.id for record in run.summary.failed] == list(failed)


def test_a_video_that_takes_too_long_is_set_aside_at_once(start, tmp_path):
    begin = time.monotonic()
    records, _ = start(['hang.mp4', *IDS[:4]], timeout=4)
    assert records['hang.mp4'].error == 'took more than 4 seconds; give a longer --timeout'
    assert finished(tmp_path) == set(IDS[:4])
    assert time.monotonic() - begin < 300  # it hangs for 600


def test_a_broken_video_is_told(start, tmp_path):
    records, _ = start(['broken.mp4', *IDS[:3]])
    assert records['broken.mp4'].error == 'broken.mp4: is broken; mend it'
    lines = (tmp_path / 'out' / 'failed.jsonl').read_text().splitlines()
    assert [json.loads(line)['id'] for line in lines] == ['broken.mp4']
    summary = json.loads((tmp_path / 'out' / 'summary.json').read_text())
    assert (summary['videos'], summary['done'], summary['failed']) == (4, 3, 1)


def test_a_model_that_cannot_be_loaded_ends_the_run(start):
    with pytest.raises(InputError, match='wrong: there is no such checkpoint'):
        start(IDS, weights='wrong')


def test_workers_that_never_begin_end_the_run(start):
    with pytest.raises(InputError, match=r'end before they have begun .*signal 9'):
        start(IDS, weights='dies')


def test_a_run_that_is_left_early_leaves_no_worker(start, tmp_path, monkeypatch):
    """As after Ctrl-C: what is unfinished is removed, what is done is counted."""
    from mmvis_cl.many.local import LocalEngine

    pids = []
    original = LocalEngine._feed

    def feed(self, worker, *args):
        pids.append(worker.pid)
        original(self, worker, *args)

    def interrupt(self, *args):
        raise KeyboardInterrupt

    monkeypatch.setattr(LocalEngine, '_feed', feed)
    monkeypatch.setattr(LocalEngine, '_bury', interrupt)
    with pytest.raises(KeyboardInterrupt):
        start([*IDS, 'die.mp4', 'long.mp4'])
    assert pids and not any(os.path.exists(f'/proc/{pid}') for pid in pids)
    assert os.listdir(tmp_path / 'out' / '.work') == []
    summary = json.loads((tmp_path / 'out' / 'summary.json').read_text())
    # a worker may have finished one of which it could not tell any more
    assert 9 < summary['done'] <= len(finished(tmp_path)) <= 13
