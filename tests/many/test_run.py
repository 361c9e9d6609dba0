"""What is left to do: going on, other options, shards, limits."""

import json

import pytest

from mmvis_cl.errors import InputError
from mmvis_cl.many import lock
from mmvis_cl.many.record import VideoRecord
from mmvis_cl.many.video import Video

IDS = [f'{n}.mp4' for n in range(6)]


class Instant:
    """An engine that has done each video before it is asked; videos named in ``bad`` fail."""

    def __init__(self, bad=()):
        self.bad, self.seen = bad, []

    def run(self, videos, attempts, watch):
        for video in videos:
            self.seen.append(video.id)
            status = 'failed' if video.id in self.bad else 'done'
            key = attempts.job.key_of(video, attempts.run_key)
            record = VideoRecord(video.id, video.source, key, status, frames=2)
            attempts.store.publish(None, record)
            yield record


@pytest.fixture
def seen(start):
    """The ids that a run did."""

    def call(ids, bad=(), **options):
        engine = Instant(bad)
        _, run = start(ids, engine=engine, **options)
        return engine.seen, run

    return call


def test_what_is_done_is_not_done_again(seen):
    assert seen(IDS[:4], limit=2)[0] == IDS[:2]
    assert seen(IDS[:4])[0] == IDS[2:4]
    done, run = seen(IDS)
    assert done == IDS[4:]
    assert (run.summary.before, run.summary.done, run.summary.left) == (4, 2, 0)
    assert seen(IDS)[0] == []


def test_what_failed_is_done_again_when_it_is_asked_for(seen, tmp_path):
    seen(IDS, bad=IDS[:2])
    done, run = seen(IDS)
    assert done == [] and [record.id for record in run.summary.failed] == IDS[:2]
    done, run = seen(IDS, retry_failed=True)
    assert done == IDS[:2] and not run.summary.failed
    assert (tmp_path / 'out' / 'failed.jsonl').read_text() == ''


def test_results_of_other_options_are_refused_unless_they_may_be_overwritten(seen):
    seen(IDS)
    with pytest.raises(InputError, match='has results of another config, other weights or opt'):
        seen(IDS, weights='other')
    assert seen(IDS, weights='other', overwrite=True, limit=2)[0] == IDS[:2]
    # from then on the folder belongs to the other options: a run that was killed goes on
    assert seen(IDS, weights='other')[0] == IDS[2:]
    assert seen(IDS, weights='other', overwrite=True)[0] == IDS
    with pytest.raises(InputError, match='has results of another config'):
        seen(IDS)


def test_a_folder_without_results_belongs_to_nobody(seen, start):
    with pytest.raises(InputError):
        start(IDS, weights='wrong')
    assert seen(IDS)[0] == IDS


def test_a_video_of_which_something_else_is_wanted_is_done_again(start, tmp_path):
    from mmvis_cl.many.job import Job
    from mmvis_cl.many.run import Run

    job = Job(str(tmp_path / 'out'), None, 'fine', {}, model='m')

    def run(**wanted):
        values = dict(start=0, max_frames=None, classes=None, files=None, length=None) | wanted
        engine = Instant()
        run = Run(job, [Video('a', wanted.pop('source', '/here/a.mp4'), 'a', **values)])
        list(run.records(engine, print))
        return engine.seen

    assert run() == ['a']
    assert run() == [] and run(length=30) == []
    assert run(start=3) == ['a'] and run(start=3, max_frames=8) == ['a']


def test_shards_share_out_all_videos_and_agree(seen, tmp_path):
    ids = [f'{n}.mp4' for n in range(60)]
    parts = [seen(ids, shard=(index, 4))[0] for index in range(4)]
    assert sorted(id for part in parts for id in part) == sorted(ids)
    assert all(8 <= len(part) <= 22 for part in parts), list(map(len, parts))
    assert seen(ids)[0] == []  # and a run over all finds them done
    assert json.loads((tmp_path / 'out' / 'summary-2of4.json').read_text())['done'] == len(parts[2])


def test_long_videos_come_first(start, tmp_path):
    from mmvis_cl.many.job import Job
    from mmvis_cl.many.run import Run

    lengths = dict(a=None, b=5, c=50, d=None, e=500)
    videos = [Video(id, id, id, 0, None, None, None, n) for id, n in lengths.items()]
    run = Run(Job(str(tmp_path / 'out'), None, 'w', {}), videos, limit=4)
    assert [video.id for video in run.todo] == ['c', 'b', 'a', 'd']  # the limit is of the list


def test_two_runs_over_the_same_videos_are_refused(seen, start, monkeypatch):
    monkeypatch.setattr(lock, '_WAIT', 0.1)

    class Nested:
        def run(self, videos, attempts, watch):
            with pytest.raises(InputError, match='another run over these videos is at work here'):
                seen(IDS)
            assert seen(IDS, shard=(0, 2))  # a shard of its own
            yield from Instant().run(videos, attempts, watch)

    start(IDS, engine=Nested())
    assert seen(IDS)[0] == []  # it is over


def test_a_broken_record_is_one_line(seen, tmp_path):
    seen(IDS)
    path = tmp_path / 'out' / 'videos' / '2.mp4' / 'record.json'
    path.write_text('[]')
    with pytest.raises(InputError, match=r'2\.mp4/record\.json: is no record of a video'):
        seen(IDS)
