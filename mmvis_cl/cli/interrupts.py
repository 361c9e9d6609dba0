"""Ctrl-C or SIGTERM at a time that suits."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from mmvis_cl.errors import Terminated


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait until the block is over, so that nothing is left half done.

    Raises:
        KeyboardInterrupt: At the end of the block, if Ctrl-C was pressed in it.
        Terminated: The same for SIGTERM.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals go to the main thread
        return
    held = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda n, _: held.append(n)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if held:
        raise Terminated if signal.SIGTERM in held else KeyboardInterrupt
