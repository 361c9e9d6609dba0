"""One training at a time in a work dir: two would remove and resume each other's checkpoints."""

import errno
import json
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from typing import TextIO

from mmvis_cl.errors import InputError, cannot_write, shortened
from mmvis_cl.processes import is_running

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

# Of a process among those of one training, by launcher.
_RANKS = dict(pytorch='RANK', slurm='SLURM_PROCID', mpi='OMPI_COMM_WORLD_RANK')


@contextmanager
def only_training_in(work_dir: str | os.PathLike, launcher: str = 'none') -> Iterator[None]:
    """Keep other trainings out of a work dir until the end of the block.

    The file ``.training.lock`` names host and process. Of one that was killed it is left, and the
    next training takes it over. Of several processes of a training the first does this.

    Args:
        work_dir: Of the training; it is made.
        launcher: What started it; see ``tools/train.py``.

    Raises:
        InputError: Another training has it, or may have it on another host.
    """
    if os.environ.get(_RANKS.get(launcher, ''), '0') != '0':
        yield
        return
    path = os.path.join(work_dir, '.training.lock')
    try:
        os.makedirs(work_dir, exist_ok=True)
        file = _take(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield
    finally:
        with suppress(OSError):  # the folder may be gone
            os.unlink(path)
        file.close()


def _take(path: str) -> TextIO:
    """The open file, locked and with our name in it."""
    while True:
        with ExitStack() as closing:
            file = closing.enter_context(os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT), 'r+'))
            _check(file, path)
            with suppress(FileNotFoundError):
                # another training may have removed the file between its opening and its locking
                if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                    started = datetime.now().isoformat(' ', 'seconds')
                    owner = dict(
                        host=socket.gethostname(), boot=_boot(), process=os.getpid(), since=started
                    )
                    file.seek(0)
                    file.truncate()
                    json.dump(owner, file)
                    file.flush()
                    closing.pop_all()
                    return file


def _check(file: TextIO, path: str) -> None:
    """Refuse if the owner runs. The system's lock ends with its process and not with its forks."""
    taken, unknown = False, fcntl is None
    if fcntl is not None:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            taken = error.errno in (errno.EACCES, errno.EAGAIN)
            unknown = not taken  # a file system without locks
    try:
        owner = json.loads(file.read(4096))
        host, process, started = owner['host'], int(owner['process']), owner['since']
        here = host == socket.gethostname() or (_boot() and _boot() == owner['boot'])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        if not taken:
            return  # nobody's yet, or its owner was killed at once
        raise InputError(
            f'{os.path.dirname(path)}: another training begins here; give another --work-dir'
        ) from None
    if unknown and here:
        taken = process != os.getpid() and is_running(process)
    who = shortened(f'process {process} on {host}, since {started}')
    if taken:
        raise InputError(
            f'{os.path.dirname(path)}: another training is at work here ({who}); wait for its end, '
            'stop it, or give another --work-dir'
        )
    if not here:  # its locks may not be seen from here
        raise InputError(
            f'{path}: a training of another host has not ended ({who}); if it runs no more, remove '
            'this file, or give another --work-dir'
        )


def _boot() -> str | None:
    """The same in all containers of a machine, whose names of the host differ; only on Linux."""
    try:
        with open('/proc/sys/kernel/random/boot_id') as file:
            return file.read().strip()
    except OSError:
        return None
