"""Runs over videos that are names alone, with a worker that needs no model."""

import pytest
from fake_worker import COMMAND

from mmvis_cl.many.job import Job
from mmvis_cl.many.local import LocalEngine
from mmvis_cl.many.run import Run
from mmvis_cl.many.video import Video


@pytest.fixture
def start(tmp_path):
    """Runs over videos of these ids to the end; gives the records by their ids, and the run."""

    def call(ids, *, weights='fine', workers=2, timeout=None, engine=None, **options):
        job = Job(str(tmp_path / 'out'), None, weights, {}, model=f'hash of {weights}')
        videos = [Video(id, id, id, 0, None, None, None, None) for id in ids]
        run = Run(job, videos, **options)
        engine = engine or LocalEngine(
            run.job,
            run.store,
            [None] * workers,
            timeout=timeout,
            log=tmp_path / 'log',
            lock=run.lock.file,
            command=COMMAND,
        )
        records = list(run.records(engine, lambda worker, video_id, frames: None))
        assert len({record.id for record in records}) == len(records), 'one was recorded twice'
        return {record.id: record for record in records}, run

    return call
