"""Lists of videos: a line a video, alone or with what is wanted of it."""

import csv
import difflib
import io
import os
from collections.abc import Iterator

from mmvis_cl.category_ids import number_or_text
from mmvis_cl.errors import InputError, quoted
from mmvis_cl.json_file import parse_json, read_table

from .remote import is_remote, read_text
from .video import Video

MANIFESTS = ('.txt', '.csv', '.jsonl')
_SOURCE = ('source', 'path', 'url', 'video')  # names that the first column may have
_KEYS = (*_SOURCE, 'id', 'start', 'end', 'classes')


def read_manifest(path: str, start: int = 0, max_frames: int | None = None) -> Iterator[Video]:
    """The videos of a list.

    Args:
        path: A ``.txt`` has a path or address a line; empty lines and those that begin with ``#``
            are none. A ``.csv`` has columns with names, a ``.jsonl`` an object a line: ``source``
            (or ``path``, ``url``, ``video``) and, as far as wanted, ``id`` (its path as it is
            written, if not given), ``start`` and ``end`` (numbers of the first frame and of the
            first one that is not wanted) and ``classes`` (in a ``.csv`` with ``;`` between them).
            Others are not looked at. Paths start from the list's own folder.
        start: Where a line does not say it.
        max_frames: Where a line has no end.

    Yields:
        The videos.

    Raises:
        InputError: The list cannot be read, or a line is not what it should be.
    """
    text = read_text(path) if is_remote(path) else read_table(path)
    folder = path.rpartition('/')[0] if is_remote(path) else os.path.dirname(path)
    for where, entry in _entries(path, text):
        for key in entry.keys() - set(_KEYS):
            near = difflib.get_close_matches(str(key), _KEYS, 1, 0.75)
            if near:
                raise InputError(f'{where}: has {quoted(key)}; did you mean {near[0]}?')
        given = next((entry[key] for key in _SOURCE if entry.get(key)), None)
        if not isinstance(given, str):
            raise InputError(f'{where}: names no video; give its path or address as `source`')
        source = given
        if is_remote(path) and not is_remote(source):
            source = f'{folder}/{source}'
        elif not is_remote(source):
            source = os.path.abspath(os.path.join(folder, source))
        first = _whole(entry, 'start', where)
        first = start if first is None else first
        end = _whole(entry, 'end', where)
        if end is not None and end <= first:
            raise InputError(f'{where}: end {end} is not behind start {first}; correct them')
        id = entry.get('id')
        text_id = given if id in (None, '') else str(id)
        yield Video(
            text_id,
            source,
            number_or_text(text_id),
            first,
            max_frames if end is None else end - first,
            _classes(entry.get('classes'), where),
            None,
            end,
        )


def _entries(path: str, text: str) -> Iterator[tuple[str, dict]]:
    """Place and content of each line that names a video."""
    if path.lower().endswith('.csv'):
        rows = csv.DictReader(io.StringIO(text), skipinitialspace=True)
        names = [name.strip().lower() for name in rows.fieldnames or ()]
        if not set(names) & set(_SOURCE):
            raise InputError(
                f'{path}: has no column `source`; name the columns in its first line, as '
                'source,id,start,end,classes'
            )
        rows.fieldnames = names
        for number, row in enumerate(rows, 2):
            if any(row.values()):
                yield f'{path}, row {number}', row
        return
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        where = f'{path}, line {number}'
        if path.lower().endswith('.txt'):
            if line and not line.startswith('#'):
                yield where, dict(source=line)
        elif line:
            entry = parse_json(line.encode(), where)
            if not isinstance(entry, dict):
                raise InputError(f'{where}: is no object; write one as {{"source": "a.mp4"}}')
            yield where, entry


def _whole(entry: dict, key: str, where: str) -> int | None:
    value = entry.get(key)
    if value is None or value == '':
        return None
    text = str(value).strip()
    if isinstance(value, (bool, float)) or not (text.isascii() and text.isdecimal()):
        raise InputError(f'{where}: {key} is {quoted(value)}; give the number of a frame')
    return int(text)


def _classes(value: object, where: str) -> tuple[str, ...] | None:
    if value is None or value == '' or value == []:
        return None
    names = [part.strip() for part in value.split(';')] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(n, str) and n for n in names):
        raise InputError(f'{where}: classes is {quoted(value)}; give names, as "person;dog"')
    return tuple(names)
