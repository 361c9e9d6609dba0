"""The one exception for input that a user can mend, and how it is said in one line."""

import errno
import os
import reprlib
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST_MESSAGE = 1000  # characters; where values of the user's files are quoted it can be more


class InputError(ValueError):
    """Bad input: a broken file, annotation, config value or checkpoint.

    The message is a single line that says what is wrong, where, and how to mend it. The command
    line tools print it without a traceback.
    """


class Terminated(KeyboardInterrupt):
    """SIGTERM, by which a scheduler ends a job: what is done after Ctrl-C is done after it too."""


def cannot_write(path: str | os.PathLike, error: OSError) -> InputError:
    """What to raise when a file cannot be written, with lines of their own for usual causes.

    Args:
        path: Of the file as the user knows it.
        error: What the system says.

    Returns:
        The error to raise.
    """
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InputError(f'{path}: the disk is full; free some space or write elsewhere')
    if error.errno == errno.ENAMETOOLONG:
        return InputError(
            f'{path}: the name of the file is too long for the file system; give a shorter one'
        )
    return InputError(f'{path}: cannot be written ({error.strerror or error})')


def quoted(value: object, most: int = 80) -> str:
    """A value of the user's as Python writes it, for a message: one line, never long.

    A text gets quotes, so that the text '96' and the number 96 look different.

    Args:
        value: Any value; of a long list, text or the like only the ends are looked at.
        most: Characters.

    Returns:
        The text.
    """
    short = reprlib.Repr()
    short.maxstring = short.maxlong = short.maxother = most
    short.maxlevel = 4
    return shortened(short.repr(value), most)


def shortened(text: object, most: int = 300) -> str:
    """A text as one line, cut in its middle where it is long: its beginning and end say most.

    Args:
        text: The text, or what ``str`` makes one.
        most: Characters.

    Returns:
        The line.
    """
    line = ' '.join(str(text).split())
    if len(line) <= most:
        return line
    gap = ' ... '
    ends = max(2, most - len(gap))
    return line[: ends - ends // 2] + gap + line[-(ends // 2) :]


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn an :class:`InputError` into one line on stderr and exit code 2.

    An error from a data loader's worker arrives with the worker's traceback as its message; only
    the line that the worker raised is shown. Ctrl-C ends with code 130, SIGTERM, which is
    :class:`Terminated` within the block, with code 143. Other errors are bugs and keep their
    traceback.
    """
    try:
        with _sigterm_raises():
            yield
    except InputError as error:
        print(f'error: {in_one_line(error)}', file=sys.stderr, flush=True)
        sys.exit(2)
    except KeyboardInterrupt as stop:
        word = 'terminated' if isinstance(stop, Terminated) else 'interrupted'
        print(word, file=sys.stderr, flush=True)
        sys.exit(exit_code(stop))


def exit_code(stop: KeyboardInterrupt) -> int:
    """The exit code after Ctrl-C or SIGTERM, as a shell gives it."""
    return 128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # others cannot take signals
        yield
        return
    process, first = os.getpid(), []

    def terminate(number, frame):
        if os.getpid() != process:  # a fork, which has what the process has to clean up no more
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        # `timeout` signals twice in a row: the second must not end the cleaning up
        elif not first or time.monotonic() > first[0] + 1:
            first.append(time.monotonic())
            raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def in_one_line(error: InputError) -> str:
    """The message of an error as :func:`one_line_errors` prints it."""
    lines = [line for line in str(error).splitlines() if line.strip()] or ['bad input']
    message = lines[-1].strip().removeprefix(f'{InputError.__module__}.InputError: ')
    return message if len(message) <= LONGEST_MESSAGE else shortened(message, LONGEST_MESSAGE)
