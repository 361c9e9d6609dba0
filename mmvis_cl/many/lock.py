"""One run at a time over the same videos: two would do each of them twice."""

import errno
import os
import time
from contextlib import suppress

from mmvis_cl.errors import InputError, cannot_write

from .remote import is_remote

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_WAIT = 20.0  # seconds for the workers of a run that was killed just now


class RunLock:
    """Keeps other runs over the same shard out of a folder.

    The system's lock belongs to an open file that the workers inherit: that of a run that was
    killed lasts until the last of its workers is gone.

    Args:
        out: The folder; at an address nobody can lock anything.
        tag: Of the shard.

    Attributes:
        file: Descriptor of the open file, for the workers; None without one.

    Raises:
        InputError: Another run is at work.
    """

    def __init__(self, out: str, tag: str) -> None:
        self.file: int | None = None
        if is_remote(out) or fcntl is None:
            return
        path = os.path.join(out, f'.lock{tag}')
        try:
            self.file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise cannot_write(path, error) from error
        end = time.monotonic() + _WAIT
        while not self._is_taken(self.file):
            if time.monotonic() > end:
                self.close()
                raise InputError(
                    f'{out}: another run over these videos is at work here; wait for its end or '
                    'stop it, or give each run a --shard of its own'
                )
            time.sleep(0.05)

    @staticmethod
    def _is_taken(file: int) -> bool:
        """Whether it is ours now."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            # a file system without locks: nobody can be kept out
            return error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
        return True

    def close(self) -> None:
        """Let others in, when the workers are gone as well."""
        if self.file is not None:
            with suppress(OSError):
                os.close(self.file)
            self.file = None

    def __del__(self) -> None:
        self.close()
