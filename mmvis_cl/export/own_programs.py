"""Which compiled files may be run: those that this user has made on this machine.

A compiled network is a program, and running it runs whatever it holds with all rights of the user.
"""

import os
from contextlib import suppress
from pathlib import Path

from mmvis_cl.errors import InputError
from mmvis_cl.ops.kernel_cache import UnusableError, kernel_folder
from mmvis_cl.weights.cache import sha256_of

TRUST = 'MMVIS_CL_TRUST_COMPILED'


def remember(file: str | os.PathLike) -> None:
    """Let a file be run from now on, wherever it is moved to on this machine."""
    with suppress(UnusableError, OSError):  # it can still be trusted by hand
        (_folder() / sha256_of(file)).touch(0o600)


def check_is_own(name: str) -> None:
    """Refuse a compiled file of others.

    Raises:
        InputError: It was not made here, and the user has not said that it is trusted.
    """
    if os.environ.get(TRUST) == '1':
        return
    with suppress(UnusableError, OSError):
        if os.path.isfile(_folder() / sha256_of(name)):
            return
    raise InputError(
        f'{name}: holds machine code that was not compiled here, and running it runs that; export '
        f'it on this machine, or set {TRUST}=1 if you trust whoever made it'
    )


def _folder() -> Path:
    """Others can neither read it nor write there."""
    folder = kernel_folder() / 'exported'
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder
