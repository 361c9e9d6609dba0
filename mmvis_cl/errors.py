"""The one exception for input that a user can mend."""

import errno
import os


class InputError(ValueError):
    """Bad input: a broken file, annotation, config value or checkpoint.

    The message is a single line that says what is wrong, where, and how to mend it. The command
    line tools print it without a traceback.
    """


def cannot_write(path: str | os.PathLike, error: OSError) -> InputError:
    """What to raise when a file cannot be written, with a line of its own for a full disk.

    Args:
        path: Of the file as the user knows it.
        error: What the system says.

    Returns:
        The error to raise.
    """
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InputError(f'{path}: the disk is full; free some space or write elsewhere')
    return InputError(f'{path}: cannot be written ({error.strerror or error})')
