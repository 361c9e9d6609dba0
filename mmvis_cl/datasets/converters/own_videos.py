"""Annotated videos of any origin, written as a data set in the format of YouTube-VIS."""

import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pycocotools import mask as mask_utils

from mmvis_cl.errors import InputError, cannot_write, quoted
from mmvis_cl.files import check_room, whole_file
from mmvis_cl.json_file import read_json

from .check_files import SplitFiles, SplitReport, check_split
from .frame_files import Frames
from .split_videos import split_videos

MAX_NAME_BYTES = 200  # of a video's folder, with room for what makes it different from others
UNPRINTABLE = re.compile(r'[\x00-\x1f\ud800-\udfff]')  # line breaks and halves of characters
BOXES = ('refuse', 'fill', 'skip')  # what to do with an object that has a box only
Progress = Callable[[Iterable, str, int], Iterable]  # wraps items; description; their number


@dataclass
class AnnotatedTrack:
    """An object of a video.

    Attributes:
        category_id: Of its class.
        masks: COCO RLE of each frame in which it is seen, by the frame's place in the video.
        crowd: It stands for many objects; not trained on, and ignored in scores.
    """

    category_id: int
    masks: dict[int, dict] = field(default_factory=dict)
    crowd: bool = False


@dataclass
class AnnotatedVideo:
    """A video with its objects.

    Attributes:
        name: Becomes the name of its folder.
        size: Height and width in pixels.
        frames: The frames that go into the data set.
        tracks: The objects; those that are never seen are left out of the data set.
    """

    name: str
    size: tuple[int, int]
    frames: Frames
    tracks: list[AnnotatedTrack]


@dataclass
class Annotations:
    """What a reader gives.

    Attributes:
        videos: All videos.
        categories: ``id`` and ``name`` of each class.
        notes: Lines that the user should see: what was left out or looks odd.
    """

    videos: list[AnnotatedVideo]
    categories: list[dict]
    notes: list[str] = field(default_factory=list)


def no_progress(items: Iterable, what: str, total: int) -> Iterable:
    """Shows nothing."""
    return items


def write_data_set(
    out: Path,
    annotations: Annotations,
    split: str = 'train',
    val_fraction: float | None = None,
    seed: int = 0,
    progress: Progress = no_progress,
) -> list[SplitReport]:
    """Write ``SPLIT.json`` and ``JPEGImages/VIDEO/00000.jpg`` and check them.

    All is written to a hidden folder in ``out``, or beside it if it is not there, and moved when it
    is whole, so that nothing unfinished is left behind. A folder that is there already can be added
    to: another split, other videos, the same classes.

    Args:
        out: The folder.
        annotations: What to write.
        split: 'train', 'valid' or 'test'.
        val_fraction: The part of the videos that goes to ``valid.json`` in place of ``train.json``
            (:func:`split_videos`), above 0 and below 1; None for none.
        seed: Of the division.
        progress: Shows how far it is.

    Returns:
        What `check_split` found in each split: its counts, no problems.

    Raises:
        InputError: There is nothing to write, a class has no name of its own, ``out`` is in the
            way, a frame is missing or broken, the disk is full, or a check failed.
    """
    _check_classes(annotations.categories)
    if not annotations.videos:
        raise InputError(f'{out}: there is no video to write; give annotations with videos')
    names = _folder_names([video.name for video in annotations.videos])
    content = _content(annotations, names)
    if not content['annotations']:
        raise InputError(
            f'{out}: no object is seen in any of the {len(names)} videos; give annotations with '
            'masks'
        )
    if val_fraction is None:
        parts = {split: content}
    else:
        parts = dict(
            zip(('train', 'valid'), split_videos(content, val_fraction, seed), strict=True)
        )
    check_out(out, list(parts))
    _check_room(out, annotations, names)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        # in the same file system as what it becomes; ``out`` may be a mounted one
        place = out if os.path.isdir(out) else out.parent
        unfinished = Path(tempfile.mkdtemp(prefix='.unfinished-', dir=place))
    except OSError as error:
        raise cannot_write(out, error) from error
    moved = []
    try:
        total = sum(len(video.frames) for video in annotations.videos)
        written = _save_frames(unfinished / 'JPEGImages', annotations.videos, names)
        for _ in progress(written, 'frames', total):
            pass
        reports = []
        for name, part in parts.items():
            with whole_file(unfinished / f'{name}.json') as file:
                file.write(json.dumps(part))
            files = SplitFiles(name, unfinished / f'{name}.json', unfinished / 'JPEGImages')
            # each image was decoded when it was read
            report = check_split(files, decode=False)
            if report.problems:
                raise InputError(
                    f'{out}: {len(report.problems)} problems in {name}.json, the first: '
                    f'{report.problems[0][1]}'
                )
            report.files = SplitFiles(name, out / f'{name}.json', out / 'JPEGImages')
            reports.append(report)
        (out / 'JPEGImages').mkdir(parents=True, exist_ok=True)
        for path in [Path('JPEGImages', name) for name in names] + [
            Path(f'{name}.json')
            for name in parts  # last: a file that is there is complete
        ]:
            (unfinished / path).rename(out / path)
            moved.append(out / path)
        moved.clear()
    except InputError as error:
        raise InputError(str(error).replace(str(unfinished), str(out))) from error
    except OSError as error:
        raise cannot_write(out, error) from error
    finally:
        for path in moved:  # not all could be
            if path.parent == out:
                path.unlink(missing_ok=True)
            else:
                shutil.rmtree(path, ignore_errors=True)
        shutil.rmtree(unfinished, ignore_errors=True)
    return reports


def check_out(out: Path, splits: Sequence[str]) -> None:
    """Make sure that a data set can be written, before the work that it takes.

    Args:
        out: Its folder, which need not be there.
        splits: What is to be written of it: 'train', 'valid' or 'test'.

    Raises:
        InputError: A file or a split is there already, or nothing can be written there.
    """
    try:
        there = stat.S_ISDIR(os.stat(out).st_mode)
    except FileNotFoundError:
        there = None
    except (OSError, ValueError) as error:
        if not isinstance(error, OSError):
            raise InputError(f'--out: is no name of a folder ({error}); correct it') from error
        raise cannot_write(out, error) from error
    if there is False:
        raise InputError(f'{out}: is a file; name another folder')
    for path in [out / f'{name}.json' for name in splits]:
        if os.path.exists(path):
            raise InputError(f'{path}: is there already; remove it or write another --split')
    nearest = next(path for path in (out, *out.absolute().parents) if os.path.exists(path))
    try:
        tempfile.TemporaryDirectory(prefix='.trial-', dir=nearest).cleanup()
    except OSError as error:
        raise cannot_write(out, error) from error


def _content(annotations: Annotations, names: list[str]) -> dict:
    """The annotation file of all videos."""
    videos, tracks = [], []
    for video_id, (video, name) in enumerate(zip(annotations.videos, names, strict=True), 1):
        height, width = video.size
        length = len(video.frames)
        shape = dict(width=width, height=height, length=length)
        file_names = [f'{name}/{number:05d}.jpg' for number in range(length)]
        videos.append(dict(id=video_id, **shape, file_names=file_names))
        for track in video.tracks:
            seen = {i: rle for i, rle in track.masks.items() if mask_utils.area(rle)}
            if not seen:
                continue
            segmentations = [None] * length
            bboxes, areas = list(segmentations), list(segmentations)
            for i, rle in seen.items():
                counts = rle['counts']
                counts = counts.decode() if isinstance(counts, bytes) else counts
                segmentations[i] = dict(size=[height, width], counts=counts)
                bboxes[i] = mask_utils.toBbox(rle).tolist()
                areas[i] = int(mask_utils.area(rle))
            tracks.append(
                dict(
                    id=len(tracks) + 1,
                    video_id=video_id,
                    category_id=track.category_id,
                    iscrowd=int(track.crowd),
                    **shape,
                    segmentations=segmentations,
                    bboxes=bboxes,
                    areas=areas,
                )
            )
    return dict(videos=videos, annotations=tracks, categories=annotations.categories)


def _folder_names(names: Sequence[str]) -> list[str]:
    """Names that any file system takes, each once."""
    made, taken = [], set()
    for name in names:
        # a dot in front would hide the folder; file systems take names of 255 bytes
        safe = re.sub(r'[^\w.-]+', '_', name).strip('._')
        safe = safe.encode()[:MAX_NAME_BYTES].decode(errors='ignore') or 'video'
        number, unique = 2, safe
        while unique.casefold() in taken:
            unique, number = f'{safe}_{number}', number + 1
        made.append(unique)
        taken.add(unique.casefold())
    return made


def _check_classes(categories: Sequence[dict]) -> None:
    names = [category['name'] for category in categories]
    for name in names:
        if not isinstance(name, str) or not name.strip() or UNPRINTABLE.search(name):
            raise InputError(
                f'{quoted(name)}: is no name of a class; give each class a name that can be printed'
            )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f'{quoted(twice)}: is the name of two classes; make them one or rename it')


def _check_room(out: Path, annotations: Annotations, names: list[str]) -> None:
    """That there is room for the frames, and that what is there already goes with them."""
    for path in [out / 'JPEGImages' / name for name in names]:
        if os.path.exists(path):
            raise InputError(
                f'{path}: is there already; remove it, write another --split, or name another '
                'folder'
            )
    for path in sorted(out.glob('*.json')):
        if path.stem not in ('train', 'valid', 'test'):
            continue
        try:
            there = [(c['id'], c['name']) for c in read_json(path)['categories']]
        except (KeyError, TypeError) as error:
            raise InputError(
                f'{path}: is no annotation file ({error}); name another folder'
            ) from error
        classes = [(c['id'], c['name']) for c in annotations.categories]
        if there != classes:
            raise InputError(
                f'{path}: has other classes ({", ".join(str(name) for _, name in there)}) than '
                f'what is to be added ({", ".join(name for _, name in classes)}); all splits need '
                'the same, so name another folder or convert both at once'
            )
    needed = sum(video.frames.bytes_to_copy() for video in annotations.videos)
    check_room(out, needed, 'the frames')


def _save_frames(
    folder: Path, videos: Sequence[AnnotatedVideo], names: Sequence[str]
) -> Iterator[Path]:
    for video, name in zip(videos, names, strict=True):
        (folder / name).mkdir(parents=True)
        yield from video.frames.save(folder / name, video.size)
