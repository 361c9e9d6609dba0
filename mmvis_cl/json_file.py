"""The one reader of JSON: annotations and results of whatever program wrote them."""

import gc
import json
import os
import re
import stat

from mmvis_cl import limits
from mmvis_cl.errors import InputError, quoted

# Halves of characters beyond 16 bits. Pairs of them, as \ud83d\ude00, are right.
_SURROGATE = re.compile(r'\\u(?:([dD][89abAB]..)|[dD][c-fC-F]..)')
_LOW = re.compile(r'\\u[dD][c-fC-F]')


def read_json(path: str | os.PathLike) -> object:
    """Read a JSON file, or what comes through a pipe.

    Args:
        path: Of the file.

    Returns:
        What is in it; see :func:`parse_json`.

    Raises:
        InputError: It is missing, cannot be read, is too large, or is no JSON.
    """
    return parse_json(read_bytes(path), path)


def read_table(path: str | os.PathLike) -> str:
    """Read a table or list in plain text, which ``limits.MAX_TABLE_BYTES`` lets in.

    Args:
        path: Of the file; UTF-8 with or without a byte order mark.

    Raises:
        InputError: It is missing, cannot be read, is too large, or is no text.
    """
    try:
        return read_bytes(path, 'MAX_TABLE_BYTES').decode('utf-8-sig')
    except UnicodeDecodeError:
        raise InputError(f'{path}: cannot be read (it is no text); save it as UTF-8') from None


def read_bytes(path: str | os.PathLike, limit: str = 'MAX_JSON_BYTES') -> bytes:
    """Read a file that a limit lets in.

    What a shell puts in by ``<(...)`` or ``/dev/stdin`` is read as well. A pipe with a name in a
    folder is not: if nobody writes to it, opening it waits for ever.

    Args:
        path: Of the file.
        limit: Name of the limit, see :mod:`mmvis_cl.limits`.

    Raises:
        InputError: It is missing, cannot be read, or is too large.
    """
    try:
        status = os.stat(path)
        if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
            raise InputError(f'{path}: is a device; give a file')
        if stat.S_ISFIFO(status.st_mode) and os.path.exists(os.path.realpath(path)):
            raise InputError(f'{path}: is a pipe; give a file')
        check_json_size(status.st_size, path, limit)
        with open(path, 'rb') as file:
            # Of a pipe the size is not known before; read(n) makes room for n bytes at once.
            parts, most = [], getattr(limits, limit)
            while most >= 0 and (part := file.read(1 << 20)):
                parts.append(part)
                most -= len(part)
        data = b''.join(parts)
        check_json_size(len(data), path, limit)
        return data
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f'{path}: no such file') from None
    except OSError as error:
        raise InputError(f'{path}: can not be read ({error.strerror})') from None
    except ValueError as error:  # a name with a null character
        raise InputError(f'{quoted(str(path))}: no name of a file ({error}); correct it') from None


def check_json_size(size: int, path: str | os.PathLike, limit: str = 'MAX_JSON_BYTES') -> None:
    """Make sure that a file is not too large to be read.

    Args:
        size: In bytes, unpacked.
        path: What the message of an error begins with.
        limit: Name of the limit.

    Raises:
        InputError: It is.
    """
    most = getattr(limits, limit)
    if size > most:
        kind = dict(MAX_JSON_BYTES='JSON', MAX_XML_BYTES='XML').get(limit, 'text')
        raise InputError(
            f'{path}: has {size} bytes of {kind}, the most is {most}; give a smaller file, or '
            f'raise MMVIS_CL_{limit}'
        )


def parse_json(data: bytes, name: str | os.PathLike) -> object:
    """What a JSON file says.

    UTF-8 with or without a byte order mark, UTF-16 and UTF-32 are understood. ``NaN`` and
    ``Infinity``, which Python's json writes, come in as numbers; whoever needs a finite number
    checks that.

    Args:
        data: Content of the file.
        name: What the message of an error begins with.

    Returns:
        dicts, lists, str, int, float, bool and None.

    Raises:
        InputError: It is no JSON, says two things under one key, or has half a character.
    """
    if not data or data.isspace():
        raise InputError(f'{name}: is empty; copy or write the file again')
    try:
        text = data.decode(json.detect_encoding(data))
    except UnicodeDecodeError as error:
        raise InputError(
            f'{name}: not valid JSON (byte {error.start} is no {error.encoding}); save the file as '
            'UTF-8'
        ) from None
    del data  # a large file is in memory once, not twice
    _refuse_half_characters(text, name)
    # Nothing in JSON is a cycle. Looking for some while millions of dicts are made takes half of
    # the time: 2.0 s for 116 MB of masks in place of 4.1.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return json.loads(text, object_pairs_hook=_without_doubles)
    except _DoubleKeyError as error:
        raise InputError(
            f'{name}: an object has the key {quoted(error.args[0])} twice; remove one of them'
        ) from None
    except ValueError as error:
        raise InputError(
            f'{name}: not valid JSON ({error}); copy or write the file again'
        ) from None
    except RecursionError:
        raise InputError(
            f'{name}: its lists or objects lie in each other too deeply; write the file again'
        ) from None
    finally:
        if collecting:
            gc.enable()


class _DoubleKeyError(Exception):
    """Not a ValueError, which is what json raises."""


def _without_doubles(pairs: list[tuple[str, object]]) -> dict:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        seen = set()
        raise _DoubleKeyError(next(key for key, _ in pairs if key in seen or seen.add(key)))
    return entries


def _refuse_half_characters(text: str, name: str | os.PathLike) -> None:
    """They can be neither printed nor part of a file's name."""
    if '\\u' not in text:  # in most files; a search for the whole pattern takes longer
        return
    place = 0
    while match := _SURROGATE.search(text, place):
        start = place = match.start()
        while start and text[start - 1] == '\\':
            start -= 1
        place += 6
        if (match.start() - start) % 2:
            continue  # a backslash that is written as two, and then a u
        if match[1] and _LOW.match(text, place):
            place += 6
            continue
        raise InputError(
            f'{name}: has half a character ({match[0]}) at position {match.start()}; correct the '
            'text there'
        )
