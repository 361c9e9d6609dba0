"""Videos annotated with Label Studio: boxes at keyframes, with what is between interpolated.

Boxes that ``mmvis-cl track --out-label-studio`` wrote have their masks with them.
"""

import os
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlparse

import numpy as np
from pycocotools import mask as mask_utils

from mmvis_cl.datasets.segmentations import to_rle
from mmvis_cl.datasets.video_source import open_source
from mmvis_cl.errors import InputError, quoted
from mmvis_cl.json_file import read_json

from .drawn_shapes import fill_box
from .frame_files import VIDEO_SUFFIXES, Frames, ImageFrames, VideoFrames, find_video, images_in
from .own_videos import AnnotatedTrack, AnnotatedVideo, Annotations

BOX = ('x', 'y', 'width', 'height', 'rotation')  # in percent of the frame; degrees
SECONDS_APART = 0.02  # share by which two statements of a duration may differ
PIXELS_APART = 0.05  # by which a box that nobody moved may lie beside that of its mask


@dataclass
class _Region:
    """An object of a task: its name for messages, its label, and what its ``value`` holds."""

    where: str
    label: str
    value: dict


class _Keyframe(NamedTuple):
    """What is known of a frame: the box, whether it is seen from there on, and COCO's counts."""

    frame: float
    box: np.ndarray
    enabled: bool
    counts: str | None


@dataclass
class _Source:
    """The frames of a task, and how long they last in seconds; None for images."""

    place: Path
    frames: Frames
    seconds: float | None


def read_label_studio(
    path: Path, frames: Path, boxes: str = 'refuse', classes: Sequence[str] | None = None
) -> Annotations:
    """Read an export of Label Studio, ``JSON`` or ``JSON-MIN``; each task is a video.

    A region of the kind ``videorectangle`` is an object. Between two keyframes its box changes
    evenly, as Label Studio shows it; after a keyframe that is not ``enabled`` it is not seen until
    the next; after the last one it stays where it is. It does not matter whether frames between
    keyframes were exported as well. Where Label Studio counted frames at another rate than the
    video has, its numbers are taken as times.

    Args:
        path: Of the file.
        frames: Folder or video file, see :func:`find_video`; a task's may have the name of its
            video, with or without what Label Studio put in front at the upload, or its id.
        boxes: What to do with boxes: 'refuse', 'fill' (the mask is the whole box) or 'skip'. A
            keyframe of ``--out-label-studio`` is its mask, unless its box was moved.
        classes: All labels, in order; those that are found, by the alphabet, if None.

    Raises:
        InputError: The file is missing, broken or of another kind, or frames do not fit.
    """
    content = read_json(path)
    tasks = content if isinstance(content, list) else [content]
    read, left_out = [], Counter()
    for index, task in enumerate(tasks):
        where = f'{path}: entry {index}'
        try:
            if isinstance(task.get('id'), (int, str)):
                where = f'{path}: task {quoted(task["id"])}'
            regions = _regions(task, where, left_out)
            if regions is not None:
                read.append((_names(task, index), regions))
        except (TypeError, LookupError, AttributeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f'{where}: is no task with an annotated video ({type(error).__name__}: {error}); '
                'export as JSON'
            ) from error
    labels = sorted({region.label for _, regions in read for region in regions})
    category_ids = {name: i for i, name in enumerate(dict.fromkeys(classes or labels), 1)}
    absent = [label for label in labels if label not in category_ids]
    if absent:
        raise InputError(f'{path}: has the label {quoted(absent[0])}; add it to --classes')
    annotations = Annotations([], [dict(id=i, name=name) for name, i in category_ids.items()])
    taken, filled, skipped = set(), 0, 0
    for names, regions in read:
        source = _source(find_video(frames, names, alone=len(read) == 1))
        if source.place in taken:
            raise InputError(
                f'{source.place}: is the video of two tasks, one of them {names[0]!r}; give each '
                "its own, with the task's id as its name"
            )
        taken.add(source.place)
        size = source.frames.check_size(None)
        video = AnnotatedVideo(names[0], size, source.frames, [])
        for region in regions:
            track = AnnotatedTrack(category_ids[region.label])
            for index, (box, counts) in _boxes(region, source, annotations.notes).items():
                where = f'{region.where}, frame {index + 1}'
                mask = _mask(counts, box, size, where)
                if mask is None and boxes == 'refuse':
                    what = f'{region.where}: is a box, not a mask, as all in videos of Label Studio'
                    if counts:
                        what = f'{where}: is a box that was moved, so that its mask is none'
                    raise InputError(f'{what}; take the whole box as the mask with --boxes fill')
                if mask is None and boxes == 'skip':
                    skipped += 1
                    continue
                filled += mask is None
                track.masks[index] = mask or _fill(box, size, where)
            if track.masks:
                video.tracks.append(track)
        annotations.videos.append(video)
    annotations.notes[:] = list(dict.fromkeys(annotations.notes))
    for number, text in ((filled, 'boxes were taken as masks'), (skipped, 'boxes were skipped')):
        if number:
            annotations.notes.append(f'{number} {text}')
    annotations.notes += [f'{number} {what} were left out' for what, number in left_out.items()]
    return annotations


def _regions(task: dict, where: str, left_out: Counter) -> list[_Region] | None:
    """The objects of a task; None if nobody annotated it."""
    if 'annotations' in task:
        done = [entry for entry in task['annotations'] if not entry.get('was_cancelled')]
        true = [entry for entry in done if entry.get('ground_truth')]
        if len(true) == 1:
            done = true
        if len(done) > 1:
            raise InputError(
                f'{where}: has {len(done)} annotations; mark one of them as ground truth or delete '
                'the others'
            )
        if not done:
            left_out['tasks without an annotation'] += 1
            return None
        values = []
        for result in done[0]['result']:
            if str(result.get('type')).lower() == 'videorectangle':
                values.append((result.get('id'), result['value']))
            else:
                left_out[f'regions of the kind {quoted(result.get("type"))}'] += 1
    else:  # JSON-MIN: a key for each control
        lists = [value for value in task.values() if isinstance(value, list)]
        values = [
            (index, entry)
            for entries in lists
            for index, entry in enumerate(entries)
            if isinstance(entry, dict) and 'sequence' in entry
        ]
        if not values:
            raise InputError(f'{where}: has no annotated video; export as JSON')
    regions = []
    for name, value in values:
        here = f'{where}, region {quoted(name)}'
        labels = [labels for key, labels in value.items() if key.endswith('labels')]
        if len(labels) != 1 or not isinstance(labels[0], list) or len(labels[0]) != 1:
            found = quoted(labels[0] if labels else [])
            raise InputError(
                f'{here}: an object has one label, this one {found}; give it one in Label Studio'
            )
        if not labels[0][0] or not isinstance(labels[0][0], str):
            raise InputError(f'{here}: {quoted(labels[0][0])} is no label; export it again')
        regions.append(_Region(here, labels[0][0], value))
    return regions


def _names(task: dict, index: int) -> list[str]:
    """Names that the video of a task may have, without its suffix."""
    data = task.get('data', task)
    addresses = [data.get('video'), *data.values(), task.get('file_upload')]
    names = []
    for address in addresses:
        if not isinstance(address, str):
            continue
        parts = urlparse(address)
        # local storage: /data/local-files/?d=folder/clip.mp4
        file = Path((parse_qs(parts.query).get('d') or [unquote(parts.path)])[0])
        if file.suffix.lower() in VIDEO_SUFFIXES:
            names += [re.sub('^[0-9a-f]{8}-', '', file.stem), file.stem]
    task_id = str(task.get('id', index))
    return list(dict.fromkeys([*names, f'task_{task_id}', task_id]))


def _source(place: Path) -> _Source:
    if os.path.isdir(place):
        images = images_in(place)
        if not images:
            raise InputError(f'{place}: has no images; put the frames of the video there')
        return _Source(place, ImageFrames(images), None)
    with open_source(place) as source:
        length = sum(1 for _ in source)  # what the file says of it may be a guess
        return _Source(place, VideoFrames(place, range(length)), length / source.fps)


def _boxes(
    region: _Region, source: _Source, notes: list[str]
) -> dict[int, tuple[np.ndarray, str | None]]:
    """The box of each frame in which an object is seen, by the frame's index.

    With the counts of its mask, if it is a keyframe that has them.
    """
    keyframes = _keyframes(region)
    starts = [keyframe.frame for keyframe in keyframes]
    length = len(source.frames)
    step = _frames_of_label_studio(region, source, notes) / length
    found = {}
    for index in range(length):
        # Label Studio's first frame is 1; of another rate the middles of frames are compared
        position = 0.5 + (index + 0.5) * step
        at = bisect_right(starts, position) - 1
        if at < 0:
            continue
        start, box, enabled, counts = keyframes[at]
        if not enabled and position - start >= step:
            continue
        if position == start:
            found[index] = box, counts
            continue
        if at + 1 < len(keyframes) and enabled:
            end, next_box, *_ = keyframes[at + 1]
            box = box + (next_box - box) * ((position - start) / (end - start))
        found[index] = box, None
    return found


def _keyframes(region: _Region) -> list[_Keyframe]:
    """In order."""
    keyframes: dict[float, _Keyframe] = {}
    try:
        for entry in region.value['sequence']:
            frame = float(entry['frame'])
            box = np.array([float(entry.get(key, 0) if key == 'rotation' else entry[key])
                            for key in BOX])  # fmt: skip
            enabled, counts = entry.get('enabled', True), entry.get('rle')
            if not isinstance(counts, (str, type(None))):
                raise ValueError(f'{quoted(counts)} is no RLE')
            if not np.isfinite([frame, *box]).all() or not isinstance(enabled, bool):
                raise ValueError(f'{quoted(entry)} is no box')
            other = keyframes.setdefault(frame, _Keyframe(frame, box, enabled, counts))
            if other.enabled != enabled or (other.box != box).any():
                raise ValueError(f'frame {frame:.0f} has two boxes')
    except (TypeError, LookupError, AttributeError, ValueError, OverflowError) as error:
        raise InputError(
            f'{region.where}: its sequence is broken ({type(error).__name__}: {error}); export it '
            'again'
        ) from error
    return [keyframes[frame] for frame in sorted(keyframes)]


def _frames_of_label_studio(region: _Region, source: _Source, notes: list[str]) -> float:
    """How many frames Label Studio counted, if that is not just a matter of rounding."""
    length = len(source.frames)
    counted, seconds = region.value.get('framesCount'), region.value.get('duration')
    if counted is None:
        return length
    numbers = [counted, 1 if seconds is None else seconds]
    if any(isinstance(n, bool) or not isinstance(n, (int, float)) for n in numbers) or not all(
        0 < number < 1e9 for number in numbers
    ):
        raise InputError(
            f'{region.where}: framesCount={quoted(counted)} or duration={quoted(seconds)} is no '
            'usable number; export it again'
        )
    if abs(counted - length) <= 1:
        return length
    if source.seconds is not None and seconds is not None and counted < length:
        rate, true_rate = counted / seconds, length / source.seconds
        if (
            abs(rate - true_rate) <= SECONDS_APART * true_rate
        ):  # of a video of which a part was seen
            return length
    apart = None if source.seconds is None or seconds is None else abs(seconds - source.seconds)
    if apart is None or apart > max(0.2, SECONDS_APART * seconds):
        raise InputError(
            f'{source.place}: has {length} frames, Label Studio counted {counted:.0f}; give the '
            'video or the frames that were annotated'
        )
    notes.append(
        f'{source.place.name}: Label Studio counted {counted:.0f} frames, the video has {length}: '
        'its frameRate was set otherwise, so its numbers of frames were taken as times'
    )
    return counted


def _mask(counts: str | None, box: np.ndarray, size: tuple[int, int], where: str) -> dict | None:
    """The mask that was written with a box; None if there is none, or the box was moved since."""
    if counts is None:
        return None
    height, width = size
    rle = to_rle(dict(size=[height, width], counts=counts), height, width, where)
    own = [*mask_utils.toBbox(rle).tolist(), 0]
    apart = np.abs(box / 100 * (width, height, width, height, 100) - own)
    return rle if apart.max() <= PIXELS_APART else None


def _fill(box: np.ndarray, size: tuple[int, int], where: str) -> dict:
    """Label Studio turns a box around its upper left corner."""
    height, width = size
    x, y, w, h = box[:4] / 100 * (width, height, width, height)
    return fill_box((x, y, w, h), size, where, box[4], pivot=(x, y))
