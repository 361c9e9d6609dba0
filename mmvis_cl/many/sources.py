"""Which videos are meant: files, folders, patterns, lists of them, annotation files."""

import fnmatch
import glob
import os
from collections.abc import Iterator
from pathlib import Path

from mmvis_cl.category_ids import number_or_text
from mmvis_cl.datasets.annotation_file import load_annotations
from mmvis_cl.datasets.image_files import IMAGE_SUFFIXES, kind_of_path, natural_order
from mmvis_cl.errors import InputError, quoted

from .manifest import MANIFESTS, read_manifest
from .remote import filesystem, is_remote
from .video import Video

# What is taken for a video in a folder, if no pattern says it.
VIDEO_SUFFIXES = (
    *('.mp4', '.m4v', '.mov', '.mkv', '.webm', '.avi', '.mpg', '.mpeg', '.ts', '.mts', '.m2ts'),
    *('.wmv', '.flv', '.ogv', '.3gp', '.mxf', '.gif'),
)


def find_videos(
    sources: list[str],
    *,
    pattern: str | None = None,
    images: str | None = None,
    start: int = 0,
    max_frames: int | None = None,
    left_out: str | None = None,
) -> list[Video]:
    """The videos that sources name.

    Args:
        sources: Of each a file; a folder, whose videos and folders of images are taken, also those
            in folders below; a pattern; a list (``.txt``, ``.csv``, ``.jsonl``), see
            :func:`read_manifest`; a YouTube-VIS annotation file (``.json``); or an address that
            fsspec knows, of any of them but the last.
        pattern: Of the videos in folders, as ``'*.mp4'``: their path in the folder, or their name.
        images: Folder from which the paths in annotation files start.
        start: Number of the first frame, where a list does not say it.
        max_frames: Most frames of a video, where a list does not say it.
        left_out: A folder that is not looked into: that of the results.

    Returns:
        The videos in the order of the sources, those of a folder in natural order. The id of a
        file is its path in the folder that was given, or its name if it was given itself.

    Raises:
        InputError: A source is not there, no video is found, or two have the same id.
    """
    found: dict[str, Video] = {}
    for source in sources:
        for video in _videos_of(source, pattern, images, start, max_frames, left_out):
            other = found.setdefault(video.id, video)
            if other is not video:
                raise InputError(
                    f'two videos have the id {quoted(video.id)}: {other.source} and '
                    f'{video.source}; give the folder that holds both, or a list with an id for '
                    'each (.csv)'
                )
    if not found:
        raise InputError(
            f'{", ".join(sources[:3])}: has no video; give others, or a --pattern that fits'
        )
    return list(found.values())


def _videos_of(
    source: str,
    pattern: str | None,
    images: str | None,
    start: int,
    max_frames: int | None,
    left_out: str | None,
) -> Iterator[Video]:
    suffix = os.path.splitext(source)[1].lower()
    exists = is_remote(source) or bool(kind_of_path(source))
    if suffix in MANIFESTS and exists:
        yield from read_manifest(source, start, max_frames)
    elif suffix == '.json' and exists:
        yield from _of_annotations(source, images, start, max_frames)
    else:
        found = (
            _remote_files(source, pattern)
            if is_remote(source)
            else _files(source, pattern, left_out)
        )
        for id, path, length in found:
            path = path if is_remote(path) else os.path.abspath(path)
            yield Video(id, path, number_or_text(id), start, max_frames, None, None, length)


def _files(
    source: str, pattern: str | None, left_out: str | None
) -> Iterator[tuple[str, str, int | None]]:
    """Id, path and number of frames of each video that a path or pattern leads to."""
    kind = kind_of_path(source)
    if kind == 'folder':
        yield from _in_folder(source, pattern, left_out)
    elif kind == 'file':
        yield os.path.basename(source), source, None
    elif kind:
        raise InputError(f'{source}: is a {kind}; give a file or folder')
    elif glob.has_magic(source):
        # the path to where the pattern begins is no part of the ids
        fixed = Path(*_fixed_parts(Path(source).parts))
        matches = sorted(map(Path, glob.glob(source, recursive=True)), key=natural_order)
        for path in matches:
            if not path.name.startswith('.'):
                yield path.relative_to(fixed).as_posix(), str(path), None
        if not matches:
            raise InputError(f'{source}: no file matches; check the folder and the quotes')
    else:
        raise InputError(
            f'{quoted(source)}: there is no such file or folder; give videos, folders, patterns '
            'in quotes, lists (.txt, .csv, .jsonl) or an annotation file (.json)'
        )


def _fixed_parts(parts: tuple[str, ...]) -> Iterator[str]:
    for part in parts:
        if glob.has_magic(part):
            return
        yield part


def _in_folder(
    top: str, pattern: str | None, left_out: str | None
) -> Iterator[tuple[str, str, int | None]]:
    """Videos and folders of images below a folder, in natural order."""

    def cannot_read(error: OSError) -> None:
        raise InputError(
            f'{error.filename}: the folder cannot be read ({error.strerror}); correct its '
            'permissions'
        ) from error

    seen = set()  # links may lead in a circle
    for folder, below, names in os.walk(top, onerror=cannot_read, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen or (left_out and real == os.path.realpath(left_out)):
            below.clear()
            continue
        seen.add(real)
        below[:] = sorted(
            (name for name in below if not name.startswith('.') and name != '__MACOSX'),
            key=lambda name: natural_order(Path(name)),
        )
        names = [name for name in names if not name.startswith('.')]
        count = sum(name.lower().endswith(IMAGE_SUFFIXES) for name in names)
        path = Path(os.path.relpath(folder, top)).as_posix()
        if count and _fits(path, pattern, True):
            name = os.path.basename(os.path.abspath(top)) if path == '.' else path
            yield name, folder, count
        for name in sorted(names, key=lambda name: natural_order(Path(name))):
            id = name if path == '.' else f'{path}/{name}'
            if not name.lower().endswith(IMAGE_SUFFIXES) and _fits(id, pattern, False):
                yield id, os.path.join(folder, name), None


def _fits(path: str, pattern: str | None, is_folder: bool) -> bool:
    if pattern is None:
        return is_folder or path.lower().endswith(VIDEO_SUFFIXES)
    return fnmatch.fnmatch(path, pattern) or fnmatch.fnmatch(path.rpartition('/')[2], pattern)


def _remote_files(source: str, pattern: str | None) -> Iterator[tuple[str, str, int | None]]:
    """The same of an address. What it lists are files: nobody can open a folder of images there."""
    fs, path = filesystem(source)
    if glob.has_magic(path):
        fixed = '/'.join(_fixed_parts(tuple(path.split('/'))))
        names = sorted(fs.glob(path))
        if not names:
            raise InputError(f'{source}: no file matches; check the address and the quotes')
    elif '.' not in path.rpartition('/')[2] and fs.isdir(path):
        fixed = path.rstrip('/')
        names = [n for n in sorted(fs.find(path)) if _fits(n[len(fixed) + 1 :], pattern, False)]
    else:
        yield path.rpartition('/')[2] or path, source, None
        return
    for name in names:
        id = name.removeprefix(fixed).lstrip('/')
        yield id, fs.unstrip_protocol(name), None


def _of_annotations(
    path: str, images: str | None, start: int, max_frames: int | None
) -> Iterator[Video]:
    """The videos of an annotation file, whose ids the results keep."""
    if images is None:
        raise InputError(f'{path}: is an annotation file; say by --images where its images are')
    for video in load_annotations(path, need_tracks=False)['videos']:
        names = video.get('file_names')
        if names is None:
            raise InputError(
                f"{path}: video {quoted(video['id'])} lacks 'file_names'; list its images"
            )
        files = tuple(names)
        folder = os.path.abspath(images)
        yield Video(
            str(video['id']), folder, video['id'], start, max_frames, None, files, len(files)
        )
