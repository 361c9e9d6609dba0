import threading
import time

import pytest

from mmvis_cl.datasets.read_ahead import ReadAhead


def test_items_then_the_error():
    def items():
        yield from range(20)
        raise RuntimeError('broken')

    seen = []
    with pytest.raises(RuntimeError, match='broken'):
        for item in ReadAhead(items(), 3):
            seen.append(item)
    assert seen == list(range(20))


def test_close_ends_a_thread_that_waits_and_closes_the_generator():
    closed = threading.Event()

    def items():
        try:
            i = 0
            while True:
                yield i
                i += 1
        finally:
            closed.set()

    ahead = ReadAhead(items(), 2)
    assert next(iter(ahead)) == 0
    ahead.close()
    assert closed.wait(5)
    assert list(ahead) == []


def test_newest_drops_what_nobody_took():
    sent = threading.Semaphore(0)
    taken = threading.Event()

    def items():
        for i in range(6):
            yield i
            sent.release()
            if i == 0:
                taken.wait(5)

    ahead = ReadAhead(items(), 1, newest=True)
    frames = iter(ahead)
    assert next(frames) == 0
    taken.set()
    for _ in range(6):
        assert sent.acquire(timeout=5)
    time.sleep(0.05)
    assert list(frames) == [5]
