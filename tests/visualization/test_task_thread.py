"""Work in another thread: its order, its bounds, its errors, and its end."""

import os
import signal
import threading

import pytest

from mmvis_cl.visualization.task_thread import TaskThread


@pytest.fixture
def gate():
    """What a task waits for; it opens at the end, whatever a test found."""
    event = threading.Event()
    yield event
    event.set()


def alive(name):
    return any(thread.name == name for thread in threading.enumerate())


def test_tasks_are_done_in_order_in_another_thread():
    done, threads = [], set()
    thread = TaskThread('in order', 2)
    for i in range(50):
        thread.give(lambda i=i: (done.append(i), threads.add(threading.current_thread().name)))
    thread.finish()
    assert done == list(range(50)) and threads == {'in order'}
    assert not alive('in order')
    with pytest.raises(ValueError, match='in order: has ended'):
        thread.give(done.clear)


def test_no_more_wait_than_may(gate):
    begun, done = threading.Event(), []
    thread = TaskThread('bounded', 3)
    thread.give(lambda: (begun.set(), gate.wait()))
    begun.wait()
    for i in range(3):
        thread.give(lambda i=i: done.append(i))
    more = threading.Thread(target=thread.give, args=(lambda: done.append(3),))
    more.start()
    assert thread._tasks.full() and thread._tasks.maxsize == 3 and not done
    gate.set()
    more.join()
    thread.finish()
    assert done == [0, 1, 2, 3]


def test_an_error_comes_out_at_each_further_call_and_nothing_is_done_after_it(gate):
    done = []

    def fail():
        gate.wait()
        raise OSError('full')

    thread = TaskThread('failing', 4)
    thread.give(fail)
    for i in range(4):
        thread.give(lambda i=i: done.append(i))
    gate.set()
    with pytest.raises(OSError, match='full'):
        while True:  # there is room in the end, whatever waits
            thread.give(lambda: done.append(-1))
    with pytest.raises(OSError, match='full'):
        thread.finish()
    assert done == [] and not alive('failing')
    thread.stop()


def test_what_waits_is_dropped_by_a_stop(gate):
    done = []
    thread = TaskThread('stopped', 4)
    begun = threading.Event()
    thread.give(lambda: (begun.set(), gate.wait(), done.append(0)))
    begun.wait()
    for i in (1, 2, 3, 4):
        thread.give(lambda i=i: done.append(i))
    stopping = threading.Thread(target=thread.stop)
    stopping.start()
    while thread._error is None:
        pass
    gate.set()
    stopping.join()
    assert done == [0] and not alive('stopped')
    thread.stop()


@pytest.mark.parametrize('wait', [TaskThread.finish, None])
def test_ctrl_c_ends_the_wait_and_the_thread_can_be_ended_after_it(gate, wait):
    thread = TaskThread('interrupted', 1)
    with pytest.raises(KeyboardInterrupt):
        thread.give(lambda: (os.kill(os.getpid(), signal.SIGINT), gate.wait()))
        if wait is None:
            while True:
                thread.give(lambda: None)
        wait(thread)
    gate.set()
    thread.stop()
    assert not alive('interrupted')
