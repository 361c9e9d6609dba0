"""Who is being served, so that one who leaves or says stop is not waited for."""

import threading
from collections.abc import Generator
from contextlib import contextmanager


class Runs:
    """The video that is tracked now, of one visitor; each can be stopped."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running: dict[str, threading.Event] = {}

    @contextmanager
    def run(self, visitor: str) -> Generator[threading.Event, None, None]:
        """Take note that a visitor is being served, within the block.

        Yields:
            What is set when the run is to end.
        """
        stop = threading.Event()
        with self._changed:
            self._running[visitor] = stop
        try:
            yield stop
        finally:
            with self._changed:
                del self._running[visitor]
                self._changed.notify_all()

    def stop(self, visitor: str) -> None:
        """Let the run of a visitor end, if there is one."""
        with self._changed:
            if visitor in self._running:
                self._running[visitor].set()

    def end(self, timeout: float) -> None:
        """Let all runs end, and wait for that, at most so many seconds."""
        with self._changed:
            for stop in self._running.values():
                stop.set()
            self._changed.wait_for(lambda: not self._running, timeout)
