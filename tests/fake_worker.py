"""A worker that needs no model: what it does with a video is in the video's id."""

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import mmvis_cl_command

mmvis_cl_command.put_off_set_up()  # torch is not needed

from mmvis_cl.many.job import Job  # noqa: E402
from mmvis_cl.many.record import VideoRecord  # noqa: E402
from mmvis_cl.many.store import open_store  # noqa: E402
from mmvis_cl.many.video import Video  # noqa: E402

COMMAND = (sys.executable, __file__)


def say(**message):
    print(json.dumps(message), flush=True)


def track(video, store, job):
    """The id may say: die (each time), die-once, hang, broken, long (a second)."""
    mark = Path(job.out, f'died-{hashlib.sha256(video.id.encode()).hexdigest()[:8]}')
    with store.unfinished_folder() as folder:
        results = folder / 'results'
        results.mkdir()
        (results / 'results.json').write_text(json.dumps([dict(video_id=video.video_id)]))
        if 'die' in video.id and ('once' not in video.id or not mark.exists()):
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if 'hang' in video.id:
            time.sleep(600)
        if 'long' in video.id:
            time.sleep(1)
        record = VideoRecord(
            video.id, video.source, job.key_of(video, job.key()), 'done', frames=16, seconds=0.1
        )
        if 'broken' in video.id:
            record.status, record.error = 'failed', f'{video.id}: is broken; mend it'
            store.publish(None, record)
        else:
            store.publish(results, record)
    return record


def main():
    start = json.loads(sys.stdin.readline())
    job = Job.from_json(start['job'])
    if job.weights == 'wrong':
        say(fatal='wrong: there is no such checkpoint; correct the path')
        return
    if job.weights == 'dies':
        os.kill(os.getpid(), signal.SIGKILL)
    store = open_store(job.out, job.owner)
    say(ready='cpu')
    for line in sys.stdin:
        say(record=vars(track(Video.from_json(json.loads(line)), store, job)))


if __name__ == '__main__':
    main()
