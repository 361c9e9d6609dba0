"""Compiled kernels that are kept from run to run: where, whose they are, and if they are whole.

A shared library is a program: loading it runs it with all rights of the user. So one that was found
is loaded only if

- its folder, and each folder above that others could put another in the place of, is the user's
  own (those above may be root's) and nobody else may write there; a folder of the user's own in one
  where all may write but not rename (``/tmp``) is all right;
- it is a regular file of the user's own that nobody else may write to;
- it is what was compiled, by the digest in its name, from this source by this compiler;
- a child process has loaded it and computed known numbers with it (try_kernel.py).

Else it is removed and compiled anew. Where the folder cannot be used, it is compiled for this
process alone. Nothing here waits without a limit.
"""

import contextlib
import ctypes
import hashlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

LARGEST = 2**26  # bytes of a library
COMPILING_SECONDS = 60.0
TRIAL_SECONDS = 30.0
WAITING_SECONDS = 90.0  # for another process that compiles
_TRIAL = Path(__file__).with_name('try_kernel.py')
_RIGHT = 42  # as in there
_OPEN_FILES = '/proc/self/fd'  # Linux has it


class UnusableError(RuntimeError):
    """A folder, a library or a compiler that is not used; the message says why."""


class Kernel(NamedTuple):
    """What is to be compiled and loaded.

    Attributes:
        name: The beginning of the library's name.
        identity: All that the library depends on: source, compiler, options.
        compile: Writes the library to a path, and returns what is to be told about it ('' if
            nothing is). Raises `UnusableError`.
        sizes: Numbers of channels, levels and points, for the trial.
        before: Libraries that this process has loaded already and that this one needs.
    """

    name: str
    identity: bytes
    compile: Callable[[Path], str]
    sizes: tuple[int, int, int]
    before: Sequence[Path]

    @property
    def key(self) -> str:
        """Digest of the identity."""
        return hashlib.sha256(self.identity).hexdigest()[:16]

    def file_name(self, content: bytes) -> str:
        """The name of the library with this content, which no other may have."""
        digest = hashlib.sha256(self.identity + content).hexdigest()[:32]
        return f'{self.name}-{self.key}-{digest}.so'


def load_kernel(kernel: Kernel) -> tuple[ctypes.CDLL, list[str]]:
    """The library, kept or compiled.

    Args:
        kernel: What it is.

    Returns:
        The library, and what is to be told about how it was come by.

    Raises:
        UnusableError: It cannot be had.
        OSError: Nothing can be written, not even to the folder for temporary files.
    """
    if os.name != 'posix':  # gcc for Windows misaligns AVX registers on the stack
        raise UnusableError('kernels are compiled on Linux and macOS only')
    if not sys.executable or getattr(sys, 'frozen', False):
        raise UnusableError('there is no Python to try it with')
    told: list[str] = []
    try:
        folder = kernel_folder()
        library = _load_kept(kernel, folder, told)
        if library is None:
            with _lock(folder):
                # while this one waited, another process may have compiled it
                library = _load_kept(kernel, folder, told)
                if library is None:
                    for left in folder.glob('.compiling-*'):  # by a process that was killed
                        shutil.rmtree(left, ignore_errors=True)
                    if told:
                        told.append('it is compiled anew')
                    library = _load_new(kernel, folder, told, keep=True)
        return library, told
    except (UnusableError, OSError) as error:
        told.append(f'it is compiled for this run alone, because {error}')
    folder = Path(os.path.realpath(tempfile.gettempdir()))
    return _load_new(kernel, folder, told, keep=False), told


def kernel_folder() -> Path:
    """Where kernels are kept; it is made, and others can neither read it nor write there.

    ``MMVIS_CL_KERNELS``, or ``mmvis_cl/kernels`` in ``XDG_CACHE_HOME``, or in ``~/.cache``.

    Returns:
        The folder, without links on the way.

    Raises:
        UnusableError: Others could put another in its place or write there; or there is no such
            folder and none can be made.
    """
    given = os.environ.get('MMVIS_CL_KERNELS') or ''
    cache = os.environ.get('XDG_CACHE_HOME') or ''
    if given and given.split('/')[0] != '~':
        path = os.path.expanduser(given)
    elif given:
        path = f'{_home()}{given[1:]}'
    else:
        # the standard wants relative ones ignored
        path = f'{cache if os.path.isabs(cache) else f"{_home()}/.cache"}/mmvis_cl/kernels'
    folder = Path(os.path.realpath(path))
    try:
        _own(folder)
    except OSError as error:
        raise UnusableError(f'{folder} cannot be used ({error.strerror})') from error
    return folder


def _home() -> str:
    """The user's folder, by the user database where HOME is empty, missing or relative."""
    home = os.environ.get('HOME') or ''
    if os.path.isabs(home):
        return home
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        raise UnusableError(
            f'HOME is not set and user {os.geteuid()} has no home; name a folder in '
            'MMVIS_CL_KERNELS'
        ) from None


def _own(folder: Path) -> None:
    """Make sure that a folder (without links on the way) is ours alone; what is missing is made."""
    us = os.geteuid()
    for part in (*reversed(folder.parents), folder):
        if not os.path.lexists(part):
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o700)
        state = os.lstat(part)
        mode, owner = stat.S_IMODE(state.st_mode), state.st_uid
        if not stat.S_ISDIR(state.st_mode):
            raise UnusableError(f'{part} is not a folder')
        # The owner of a folder can put others in the place of those in it; so can who may write
        # to it, but for the sticky bit.
        if owner != us and (owner != 0 or part == folder):
            raise UnusableError(f'{part} is not of user {us}, but of user {owner}')
        if mode & 0o022 and (part == folder or not mode & stat.S_ISVTX):
            remedy = f'chmod go-w {part}'
            if part == folder:  # what is in it already may not be ours
                remedy = 'name another in MMVIS_CL_KERNELS, or delete it if it holds kernels only'
            raise UnusableError(f'others may write to {part} (its mode is {mode:o}); {remedy}')
        if part == folder and mode & 0o077:
            with contextlib.suppress(OSError):  # read-only; that others can read is no danger
                os.chmod(part, 0o700)


def _load_kept(kernel: Kernel, folder: Path, told: list[str]) -> ctypes.CDLL | None:
    """The library of this folder, or None; those that are not as they should be are removed."""
    for path in sorted(folder.glob(f'{kernel.name}-{kernel.key}-*')):
        try:
            return _load(kernel, path)
        except UnusableError as error:
            told.append(f'{path} is removed: {error}')
            if os.path.isdir(path) and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    path.unlink()
    return None


def _load_new(kernel: Kernel, folder: Path, told: list[str], keep: bool) -> ctypes.CDLL:
    """Compile the library in a folder; it is left there under its name if it is to be kept."""
    with tempfile.TemporaryDirectory(
        dir=folder, prefix='.compiling-', ignore_cleanup_errors=True
    ) as scratch:
        _own(Path(scratch))
        path = Path(scratch) / f'{kernel.name}.so'
        words = kernel.compile(path)
        os.chmod(path, 0o700)  # with no umask, all could write to it
        new = path.with_name(kernel.file_name(path.read_bytes()))
        path.rename(new)
        library = _load(kernel, new)
        if keep:
            new.replace(folder / new.name)  # whole or not at all
        if words:
            told.append(words)
        return library


def _load(kernel: Kernel, path: Path) -> ctypes.CDLL:
    """Load a library that is ours and whole, and that computes what it should.

    What is loaded is the file that was looked at, whatever has its name by then.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise UnusableError(f'it cannot be opened ({error.strerror})') from error
    try:
        state = os.fstat(descriptor)
        mode = stat.S_IMODE(state.st_mode)
        if not stat.S_ISREG(state.st_mode):
            raise UnusableError('it is not a file')
        if state.st_uid != os.geteuid():
            raise UnusableError(f'it is not of user {os.geteuid()}, but of user {state.st_uid}')
        if mode & 0o022:
            raise UnusableError(f'others may write to it (its mode is {mode:o})')
        with open(descriptor, 'rb', closefd=False) as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST or kernel.file_name(content) != path.name:
            raise UnusableError('it is torn, or was changed after it was compiled')

        name = f'{_OPEN_FILES}/{descriptor}'
        if not os.path.exists(name):  # its folder is ours alone, so that the path will do
            name = str(path)
        words = [sys.executable, '-I', '-S', str(_TRIAL), name, *kernel.sizes, *kernel.before]
        code, said = run_limited([str(word) for word in words], TRIAL_SECONDS, (descriptor,))
        if code < 0:
            raise UnusableError(f'it crashes ({signal.strsignal(-code)})')
        if code != _RIGHT:
            raise UnusableError(said.strip() or f'it ends the process with status {code}')
        library = ctypes.CDLL(name)
    except BaseException:
        os.close(descriptor)
        raise
    # The descriptor stays open. The loader knows libraries by their names, and would take this one
    # for the next one that has the number.
    return library


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Let no other process compile here; a process that is killed gives the lock back."""
    import fcntl

    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(folder / '.lock', flags, 0o600)
    try:
        end = time.monotonic() + WAITING_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise UnusableError(
                        f'another process compiles in {folder} for more than '
                        f'{WAITING_SECONDS:.0f} s'
                    ) from None
                time.sleep(0.05)
        try:
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # forked processes have the descriptor as well
    finally:
        os.close(descriptor)


def run_limited(
    command: Sequence[str], seconds: float, descriptors: Sequence[int] = ()
) -> tuple[int, str]:
    """Run a program that is ended, with all that it started, after some time.

    Its words go to a file: from a pipe there is no end to be read as long as any process has it.

    Args:
        command: The program and its arguments.
        seconds: At most.
        descriptors: Open files that it may use.

    Returns:
        Exit status, negative for a signal, and the first words of output and errors.

    Raises:
        UnusableError: It took longer.
        OSError: It cannot be started.
    """
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=descriptors,
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise UnusableError(f'{command[0]} took more than {seconds:.0f} s') from None
        finally:
            if process.returncode is None:  # also at Ctrl-C
                with contextlib.suppress(OSError):
                    os.killpg(process.pid, signal.SIGKILL)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(10)
        said.seek(0)
        return code, said.read(10_000).decode(errors='replace')
