"""A thread for work that others need not wait for."""

import threading
from collections.abc import Callable
from queue import Queue


class TaskThread:
    """Does tasks one after the other in a thread of its own.

    After a task that fails the others are dropped, and every further call raises its error. The
    thread never outlives the program.

    Args:
        name: Of the thread.
        waiting: Tasks that may wait, at least 1; who gives another one waits too. So memory is
            bounded.
    """

    def __init__(self, name: str, waiting: int) -> None:
        self._tasks: Queue[Callable[[], object] | None] = Queue(waiting)
        self._error: BaseException | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def give(self, task: Callable[[], object]) -> None:
        """Have a task done, once there is room for it.

        Raises:
            BaseException: What an earlier task has raised; this one is not done.
            ValueError: After :meth:`finish` or :meth:`stop`.
        """
        self._raise_error()
        if self._stopped:
            raise ValueError(f'{self._thread.name}: has ended')
        self._tasks.put(task)

    def finish(self) -> None:
        """Wait until all tasks are done, and end the thread.

        Raises:
            BaseException: What a task has raised.
        """
        self._end()
        self._raise_error()

    def stop(self) -> None:
        """Drop the tasks that wait, wait for the one that is being done, and end the thread."""
        self._error = self._error or RuntimeError(f'{self._thread.name}: was stopped')
        self._end()

    def _end(self) -> None:
        self._stopped = True
        if self._thread.is_alive():  # if the wait was interrupted, this is called once more
            self._tasks.put(None)
        self._thread.join()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        # also after an error, so that nobody waits for room for good
        while (task := self._tasks.get()) is not None:
            if self._error is None:
                try:
                    task()
                except BaseException as error:
                    self._error = error
            del task  # or the last frame would be kept while there is no other
