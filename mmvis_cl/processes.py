"""Worker processes that end with the process that started them, however that ends."""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from mmvis_cl.errors import InputError

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_GRACE = 30  # seconds


@contextmanager
def pool_of_workers(count: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that share work. Where the block is left early they are stopped at what they do.

    Not ``multiprocessing.Pool``, which waits for good for the work of one that was killed.

    Args:
        count: Of the processes.

    Yields:
        The pool.

    Raises:
        InputError: One of them was ended from outside.
    """
    before = multiprocessing.active_children()
    pool = ProcessPoolExecutor(count, initializer=end_with_parent)
    try:
        yield pool
    except BaseException as error:
        for process in multiprocessing.active_children():
            if process not in before:
                process.terminate()
        if isinstance(error, BrokenProcessPool):
            raise InputError(
                f'one of {count} worker processes was killed, as happens where memory is short; '
                'give fewer --workers'
            ) from error
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def end_with_parent() -> None:
    """Let this process end when its parent does, be it by ``kill -9``. For initializers.

    A parent that is killed cannot stop its workers, and a worker that waits to hand over a batch
    waits for good. Of the signals that a terminal or a scheduler sends to all processes, Ctrl-C is
    the parent's to answer, and SIGTERM ends a worker at once: the parent's handlers, which it has
    by the fork, would let both pass, and the parent waits without limit for workers that it has
    told to end.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return  # called in the main process, which has no parent to end with
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # The kernel tells nobody of a parent that was gone before it was asked, and of a fork server it
    # knows the server alone.
    if _ask_kernel() and os.getppid() == parent.pid:
        return
    threading.Thread(target=_watch, name='watch on the parent', daemon=True).start()


def end_with_starter() -> None:
    """The ``preexec_fn`` of a program: it is killed when the process that starts it ends.

    Only on Linux; elsewhere it goes on, as any program does.
    """
    _ask_kernel()


def start_worker(worker_id: int, then: Callable[[int], None] | None) -> None:
    """A ``worker_init_fn`` of a data loader: :func:`end_with_parent`, then what it had before.

    SIGTERM ends this worker half a minute later, or when it comes again: a scheduler sends it to
    all processes, and the training, which ends its iteration first, needs the batches of it.

    Args:
        worker_id: Of the data loader.
        then: The ``worker_init_fn`` of the config; None if there is none.
    """
    end_with_parent()
    if hasattr(signal, 'alarm'):  # not on Windows

        def end_later(number, frame):
            signal.signal(number, signal.SIG_DFL)
            signal.alarm(_GRACE)

        signal.signal(signal.SIGTERM, end_later)
    if then is not None:
        then(worker_id)


def is_running(pid: int) -> bool:
    """Whether this machine has a process of this number."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):  # the latter: no process has so high a number
        return False
    except OSError:  # it is another user's
        return True
    return True


def kill_workers() -> None:
    """End all child processes of ``multiprocessing``, on the way out.

    torch would wait five seconds for each that is busy, and multiprocessing without limit.
    """
    workers = multiprocessing.active_children()
    if not workers:
        return
    is_posix = hasattr(signal, 'SIGCHLD')
    if is_posix:  # torch's handler raises an error when one of its workers is killed
        before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for worker in workers:
        worker.kill()
    for worker in workers:
        worker.join()
    if is_posix:
        signal.signal(signal.SIGCHLD, before or signal.SIG_DFL)


def _ask_kernel() -> bool:
    """Whether the kernel will kill this process when its parent's thread ends; on Linux it will."""
    if sys.platform != 'linux':
        return False
    return ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) == 0


def _watch() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
