"""A worker as a process of its own: a job and videos come by stdin, records go to stdout.

A line is a JSON object. It is started by ``python -m`` and not by multiprocessing, which would run
the user's script again to find the worker in it.
"""

import json
import os
import queue
import signal
import threading
import time
import traceback
from dataclasses import asdict
from typing import Any, TextIO

from mmvis_cl.errors import InputError, in_one_line, shortened

from .job import Job
from .video import Video

_SECONDS = 0.5  # between two words on how far a video is


def main() -> None:
    """Answer until stdin is closed, and then end at once: by then nobody wants the results."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal's Ctrl-C: the parent answers it
    given, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)  # what libraries print must not come between the answers
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(given, lines), name='reader', daemon=True).start()
    try:
        _work(lines, answers)
    except InputError as error:
        _say(answers, fatal=in_one_line(error))
    except Exception as error:
        traceback.print_exc()
        _say(answers, broken=f'{type(error).__name__}: {shortened(error, 200)}')
    answers.close()
    os._exit(0)  # threads of libraries have nothing left to do


def _read(given: TextIO, lines: 'queue.SimpleQueue[str]') -> None:
    for line in given:
        lines.put(line)
    os._exit(0)  # the parent has no more for us, or is no more


def _work(lines: 'queue.SimpleQueue[str]', answers: TextIO) -> None:
    from mmvis_cl.threads import set_threads

    from .worker import Worker

    start = json.loads(lines.get())
    job = Job.from_json(start['job'])
    set_threads(job.processes)
    worker = Worker(job, start['device'])
    _say(answers, ready=str(worker.inferencer.device))
    said = time.monotonic()

    def progress(video_id: str, frames: int) -> None:
        nonlocal said
        if time.monotonic() - said > _SECONDS:
            said = time.monotonic()
            _say(answers, video=video_id, frames=frames)

    def next_video(wait: bool) -> Video | None:
        try:
            return Video.from_json(json.loads(lines.get(wait)))
        except queue.Empty:
            return None

    for record in worker.track_all(next_video, progress):
        _say(answers, record=asdict(record))


def _say(answers: TextIO, **message: Any) -> None:
    answers.write(json.dumps(message) + '\n')
    answers.flush()


if __name__ == '__main__':
    main()
