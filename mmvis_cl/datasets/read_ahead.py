"""Frames are read in a thread while the network is busy with those before."""

import threading
from collections import deque
from collections.abc import Generator, Iterator
from typing import TypeVar

Item = TypeVar('Item')


class ReadAhead:
    """Reads an iterator in a thread, a bounded number of items ahead.

    Args:
        items (Generator): is run, and at the end closed, in the thread.
        bound (int): most items that wait.
        newest (bool): when so many wait, drop the oldest one instead of waiting: who is slower than
            a camera gets its present picture.
    """

    def __init__(
        self, items: Generator[Item, None, None], bound: int, newest: bool = False
    ) -> None:
        self._items = items
        self._bound = bound
        self._newest = newest
        self._waiting = deque()
        self._changed = threading.Condition()
        self._closed = self._ended = False
        self._error = None
        self._thread = threading.Thread(target=self._read, name='read ahead', daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Item]:
        """The items, then the error, if one ended them."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ended)
                if not self._waiting:
                    break
                item = self._waiting.popleft()
                self._changed.notify_all()
            yield item
        if self._error is not None:
            raise self._error

    def close(self, timeout: float = 10.0) -> None:
        """End the thread; waits for the item that it is reading, at most ``timeout`` seconds."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()
        self._thread.join(timeout)

    def _read(self) -> None:
        try:
            for item in self._items:
                with self._changed:
                    if self._newest and len(self._waiting) == self._bound:
                        self._waiting.popleft()
                    self._changed.wait_for(lambda: self._closed or len(self._waiting) < self._bound)
                    if self._closed:
                        break
                    self._waiting.append(item)
                    self._changed.notify_all()
        except BaseException as error:  # raised where the items are used
            self._error = error
        finally:
            self._items.close()
            with self._changed:
                self._ended = True
                self._changed.notify_all()
