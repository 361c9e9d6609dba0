"""Fetches a file of weights: goes on after a break, and takes nothing for it that is none."""

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin

from mmvis_cl.errors import InputError, cannot_write, shortened
from mmvis_cl.files import check_room, finish

from .cache import sha256_of

# Where Google Drive gives files; a file too large for its virus scan, a page with a form first.
DRIVE = 'https://drive.usercontent.google.com/download'
ATTEMPTS = 4  # each goes on where the one before was broken off
SECONDS = 30  # without a byte
PAUSE = 1.0  # seconds, doubled with each attempt
CHUNK = 1 << 18
Progress = Callable[[int, int | None], None]


class _BrokenOffError(Exception):
    """The connection ended before the file did."""


class _OtherFileError(Exception):
    """What the server has is not what was wanted."""


def fetch(
    source: str,
    file: Path,
    advice: str,
    size: int | None = None,
    sha256: str | None = None,
    progress: Progress = lambda done, total: None,
) -> str:
    """Fetch a file; it gets its name when it is whole and is what it should be.

    What has come of it stays beside it, for the next attempt or the next command.

    Args:
        source: ``https://``, ``http://`` or ``gdrive:ID``.
        file: Where it will be.
        advice: What to do if it cannot be fetched; the end of the message.
        size: Bytes that it must have, if known.
        sha256: Its hash in hex, if known.
        progress: Is told the bytes so far and the bytes of all, if known.

    Returns:
        The hash of the file.

    Raises:
        InputError: It cannot be fetched or written, is another file than was wanted, or no weights.
    """
    part = file.with_name(f'{file.name}.part')
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(file, error) from error
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _download(source, part, size, progress)
            break
        except _OtherFileError as error:
            raise InputError(f'{source}: {error}; {advice}') from error
        except urllib.error.HTTPError as error:
            if error.code < 500 or attempt == ATTEMPTS:
                raise InputError(
                    f'{source}: the server says {error.code} ({error.reason}); {advice}'
                ) from error
        except (_BrokenOffError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            if attempt == ATTEMPTS:
                raise InputError(
                    f'{source}: was broken off {ATTEMPTS} times ({shortened(error, 150)}); give '
                    f'the command again, which goes on where it was, or {advice}'
                ) from error
        except (urllib.error.URLError, ValueError) as error:  # no network, no such server
            reason = getattr(error, 'reason', error)
            raise InputError(
                f'{source}: cannot be fetched ({shortened(reason, 150)}); {advice}'
            ) from error
        except OSError as error:
            raise cannot_write(part, error) from error
        time.sleep(min(2 ** (attempt - 1), 5) * PAUSE)
    _check_start(part, source, advice)
    digest = sha256_of(part)
    if sha256 is not None and digest != sha256:
        _discard(part)
        raise InputError(
            f'{source}: is another file than it should be (SHA-256 {digest[:12]}..., not '
            f'{sha256[:12]}...); {advice}'
        )
    try:
        finish(part, file)
        _state_of(part).unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(file, error) from error
    return digest


@contextmanager
def alone(file: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Be the only process that fetches a file.

    Args:
        file: To be fetched.
        waiting: Is called if another process does.

    Raises:
        InputError: The folder cannot be written.
    """
    import fcntl

    lock = file.with_name(f'{file.name}.lock')
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        opened = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise cannot_write(lock, error) from error
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def _discard(part: Path) -> None:
    os.remove(part)
    _state_of(part).unlink(missing_ok=True)


def _state_of(part: Path) -> Path:
    return part.with_name(f'{part.name}.json')


def _download(source: str, part: Path, size: int | None, progress: Progress) -> None:
    """Bring the unfinished file to its end, from where it is if the server can do that."""
    state = _read_state(part, source)
    have = part.stat().st_size if state and os.path.isfile(part) else 0
    address = _address(source)
    headers = {'User-Agent': 'mmvis_cl'}
    if have:
        headers |= {'Range': f'bytes={have}-', 'If-Range': state['version']}
    try:
        response = _open(address, headers)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        have = 0  # there is no such range: it has changed, or ours is too long
        response = _open(address, {'User-Agent': 'mmvis_cl'})
    with response:
        if 'text/html' in response.headers.get('Content-Type', '') and source.startswith('gdrive:'):
            form = _Form.in_page(response.read(1 << 20), response.url)
            if form is None:
                raise _OtherFileError('Google Drive gives a page in place of the file')
            with _open(form, headers) as confirmed:
                _save(confirmed, part, have, source, size, progress)
            return
        _save(response, part, have, source, size, progress)


def _open(address: str, headers: dict[str, str]) -> Any:
    return urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=SECONDS)


def _address(source: str) -> str:
    if not source.startswith('gdrive:'):
        return source
    query = dict(id=source.removeprefix('gdrive:'), export='download', confirm='t')
    return f'{DRIVE}?{urlencode(query)}'


def _save(
    response: Any, part: Path, have: int, source: str, size: int | None, progress: Progress
) -> None:
    if response.status != 206:
        have = 0  # it begins anew
    length = response.headers.get('Content-Length')
    total = have + int(length) if length and length.isdecimal() else None
    if size is not None and total is not None and total != size:
        raise _OtherFileError(f'the server has {total} bytes, it should have {size}')
    version = response.headers.get('ETag') or response.headers.get('Last-Modified')
    if version and not version.startswith('W/'):
        with open(_state_of(part), 'w') as file:
            json.dump(dict(source=source, version=version), file)
    else:
        _state_of(part).unlink(missing_ok=True)  # it may change between two attempts
    check_room(part.parent, (total or 0) - have, 'the weights')
    progress(have, total)
    with open(part, 'ab' if have else 'wb') as file:
        while chunk := _read(response, total is None or have < total):
            file.write(chunk)
            have += len(chunk)
            progress(have, total)
    if (total is not None and have != total) or (size is not None and have != size):
        raise _BrokenOffError(f'it ended after {have} of {total or size} bytes')


def _read(response: Any, more: bool) -> bytes:
    try:
        return response.read(CHUNK) if more else b''
    except http.client.IncompleteRead as error:
        return error.partial


def _read_state(part: Path, source: str) -> dict[str, str]:
    """What is known of an unfinished file, if it may be gone on with."""
    try:
        state = json.loads(_state_of(part).read_text())
    except (OSError, ValueError):
        return {}
    good = isinstance(state, dict) and state.get('source') == source and state.get('version')
    return state if good else {}


class _Form(HTMLParser):
    """The first form of a page: where it leads, with its hidden values."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.values: dict[str, str] = {}

    @classmethod
    def in_page(cls, page: bytes, address: str) -> str | None:
        form = cls()
        form.feed(page.decode('utf-8', 'replace'))
        if form.action is None or not form.values:
            return None
        return urljoin(address, form.action) + '?' + urlencode(form.values)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        of_tag = dict(attrs)
        if tag == 'form' and self.action is None:
            self.action = of_tag.get('action') or ''
        elif tag == 'input' and of_tag.get('type') == 'hidden' and of_tag.get('name'):
            self.values[str(of_tag['name'])] = of_tag.get('value') or ''


def _check_start(part: Path, source: str, advice: str) -> None:
    """Make sure that a file can be weights: a zip, a pickle, a safetensors."""
    with open(part, 'rb') as file:
        start = file.read(64)
    if start.startswith((b'PK', b'\x80')) or start[8:9] == b'{':
        return
    _discard(part)
    text = start.lstrip()[:1] == b'<'
    what = 'a web page' if text else 'no file of weights' if start else 'empty'
    raise InputError(f'{source}: what came is {what}; {advice}')
