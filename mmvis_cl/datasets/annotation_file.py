"""Annotation files in the format of YouTube-VIS: the one door for all that read them.

Types, sizes and ids are checked here, and what is said of a broken file is the same everywhere. The
masks themselves are checked in ``segmentations``.
"""

import math
import os
import re
from collections.abc import Collection, Container, Mapping, Sequence
from numbers import Integral, Real

import numpy as np

from mmvis_cl import limits
from mmvis_cl.errors import InputError, quoted, shortened
from mmvis_cl.json_file import read_json

_CONTROL = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028\u2029]')
# Boxes may lie this many longer sides outside of the frame.
_SIDES_OUTSIDE = 10


def load_annotations(path: str | os.PathLike, need_tracks: bool = True) -> dict:
    """Read an annotation file in the format of YouTube-VIS.

    Args:
        path: The JSON file.
        need_tracks: Whether a file without annotated tracks is an error.

    Returns:
        Its content, with ``videos``, ``categories`` and, if they are there, ``annotations``, whose
        ids, sizes and types are right. Masks are not looked at.

    Raises:
        InputError: The file is missing or broken, or contradicts itself.
    """
    content = read_json(path)
    check_annotations(content, str(path), need_tracks)
    return content


def check_annotations(content: object, name: str, need_tracks: bool = True) -> None:
    """Check what ``load_annotations`` gives.

    Args:
        content: Of an annotation file.
        name: Of the file.
        need_tracks: As there.

    Raises:
        InputError: See there.
    """
    keys = ['videos', 'categories']
    if need_tracks or (isinstance(content, dict) and content.get('annotations') is not None):
        keys.append('annotations')
    for key in keys:
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            hint = (
                ' (the validation and test files of YouTube-VIS come without: use format_only and '
                'submit the zip)'
                if key == 'annotations'
                else ''
            )
            raise InputError(f"{name}: no list '{key}', so not a YouTube-VIS annotation file{hint}")
    categories = check_categories(content['categories'], name)
    lengths = {}
    for index, video in enumerate(content['videos']):
        check_video(video, index, name, lengths)
        lengths[video['id']] = video_length(video)
    seen = set()
    for index, track in enumerate(content.get('annotations') or ()):
        where = check_track(track, index, name, lengths, categories)
        check_new_id(track.get('id'), where, seen)
        is_crowd(track, where)


def check_categories(categories: list, name: str) -> dict[int | str, str]:
    """Check the categories of a file.

    Args:
        categories: Of the file.
        name: Of the file.

    Returns:
        Their names by their ids.

    Raises:
        InputError: One lacks something, or two have the same id or name.
    """
    names = {}
    for index, category in enumerate(categories):
        where = f'{name}: entry {index} of categories'
        require(category, ('id', 'name'), where)
        check_id(category['id'], where, names)
        if not isinstance(category['name'], str):
            raise InputError(
                f'{where}: the name is {quoted(category["name"])}; give a text, in quotes'
            )
        _check_text(category['name'], where)
        for kind, value, values in (
            ('category id', category['id'], names),
            ('category name', category['name'], names.values()),
        ):
            if value in values:
                raise InputError(
                    f'{name}: {kind} given more than once: {quoted(value)}; make them differ'
                )
        names[category['id']] = category['name']
    return names


def check_video(video: object, index: int, name: str, known: Collection) -> None:
    """Check an entry of ``videos``.

    Args:
        video: The entry.
        index: Its place.
        name: Of the file.
        known: The ids of those before.

    Raises:
        InputError: It lacks something, its values are of the wrong kind, or its id is known.
    """
    where = f'{name}: entry {index} of videos'
    require(video, ('id', 'width', 'height'), where)
    check_id(video['id'], where, known)
    where = f'{name}: video {quoted(video["id"])}'
    if video['id'] in known:
        raise InputError(f'{where}: this id is given to two videos; make ids unique')
    check_size(video['height'], video['width'], where)
    if 'file_names' not in video and 'length' not in video:
        raise InputError(f"{where} lacks 'file_names'; list its images")
    file_names, length = video.get('file_names'), video.get('length')
    if 'file_names' in video:
        if not isinstance(file_names, list):
            raise InputError(
                f"{where}: 'file_names' is {quoted(file_names)}; list the images of the video"
            )
        if not file_names:
            raise InputError(
                f"{where}: has no frames ('file_names' is empty); remove it or list its images"
            )
        for frame, file_name in enumerate(file_names):
            if not isinstance(file_name, str):
                raise InputError(
                    f'{where}, frame {frame}: the name of the image is {quoted(file_name)}; give '
                    'the path of its file'
                )
    if 'length' in video:
        if not is_whole(length) or not 0 < length <= limits.MAX_VIDEO_FRAMES:
            raise InputError(
                f"{where}: 'length' is {quoted(length)}; give the number of its frames, from 1 to "
                f'{limits.MAX_VIDEO_FRAMES} (MMVIS_CL_MAX_VIDEO_FRAMES)'
            )
        if file_names is not None and length != len(file_names):
            raise InputError(
                f"{where}: 'length' is {length} but 'file_names' lists {len(file_names)} images; "
                'make them agree'
            )


def check_track(
    track: object, index: int, name: str, lengths: Mapping, categories: Container
) -> str:
    """Check an entry of ``annotations``, but for its masks, its boxes and whether it is a crowd.

    Args:
        track: The entry.
        index: Its place.
        name: Of the file.
        lengths: Frames of each video by its id.
        categories: The ids of the categories.

    Returns:
        What messages on it begin with.

    Raises:
        InputError: It lacks something, or its values are of the wrong kind or not in the file.
    """
    where = f'{name}: entry {index} of annotations'
    require(track, ('video_id', 'category_id', 'segmentations'), where)
    if 'id' in track:
        check_id(track['id'], where)
        where = f'{name}: annotation {quoted(track["id"])}'
    where += f' of video {quoted(track["video_id"])}'
    _check_known(track, lengths, categories, where)
    check_length('segmentations', track['segmentations'], lengths[track['video_id']], where)
    return where


def check_length(key: str, values: object, length: int, where: str) -> None:
    """Make sure that there is one entry for each frame.

    Args:
        key: Of the entries.
        values: The entries.
        length: Frames of the video.
        where: What the message of an error begins with.

    Raises:
        InputError: There are more, fewer, or none at all.
    """
    if not isinstance(values, list) or len(values) != length:
        entries = len(values) if isinstance(values, list) else 'no'
        raise InputError(
            f"{where}: '{key}' has {entries} entries, the video has {length} frames; give one "
            'entry a frame, null where the object is not seen'
        )


def check_new_id(value: object, where: str, seen: set) -> None:
    """Make sure that the id of an annotation is a new one, and remember it; None is no id."""
    if value is None:
        return
    if value in seen:
        raise InputError(f'{where}: this id is given to two annotations; make ids unique')
    seen.add(value)


def check_size(height: object, width: object, where: str) -> None:
    """Make sure that a size is one of an image.

    Args:
        height: In pixels.
        width: In pixels.
        where: What the message of an error begins with.

    Raises:
        InputError: It is not, or is above ``limits.MAX_FRAME_PIXELS``.
    """
    for key, side in (('height', height), ('width', width)):
        if not is_whole(side) or side < 1:
            raise InputError(
                f"{where}: '{key}' is {quoted(side)}; give the pixels of a frame, a whole number "
                'above 0'
            )
    if height * width > limits.MAX_FRAME_PIXELS:
        raise InputError(
            f'{where}: a frame of {quoted(width)}x{quoted(height)} (width x height) has more than '
            f'{limits.MAX_FRAME_PIXELS} pixels; correct its size, or raise '
            'MMVIS_CL_MAX_FRAME_PIXELS'
        )


def check_box(box: object, height: int, width: int, where: str) -> None:
    """Make sure that a box is [x, y, width, height] in pixels, of numbers and near the frame.

    Args:
        box: To check.
        height: Of the frame in pixels.
        width: Of the frame in pixels.
        where: What the message of an error begins with.

    Raises:
        InputError: It is not.
    """
    far = (1 + _SIDES_OUTSIDE) * max(height, width)
    if (
        not isinstance(box, list)
        or len(box) != 4
        or not all(is_number(value) and abs(value) <= far for value in box)
        or min(box[2:]) < 0
    ):
        raise InputError(
            f'{where}: the box {quoted(box)} is not [x, y, width, height] in pixels of the frame; '
            'mend it'
        )


def check_file_name(file_name: str, where: str, absolute: bool = False) -> None:
    """Make sure that the file of an image lies in the folder of the data.

    Args:
        file_name: As the annotation file has it.
        where: What the message of an error begins with.
        absolute: Whether paths that do not start from that folder are welcome.

    Raises:
        InputError: It does not, or this is no name of a file.
    """
    if '..' in file_name and '..' in file_name.replace('\\', '/').split('/'):
        raise InputError(
            f"{where}: the image {quoted(file_name)} leaves the folder of the data by '..'; "
            'correct the path'
        )
    if not absolute and (os.path.isabs(file_name) or os.path.splitdrive(file_name)[0]):
        raise InputError(
            f'{where}: the image {quoted(file_name)} is an absolute path; make it start from the '
            'folder of the data, or allow such paths: absolute_paths=True of the data set, '
            '--absolute-paths of a tool'
        )
    try:
        usable = file_name and not _CONTROL.search(file_name) and file_name.encode()
    except UnicodeEncodeError:  # half a character
        usable = False
    if not usable:
        raise InputError(
            f'{where}: {quoted(file_name)} is no name of a file; give the path of the image'
        )


def is_crowd(annotation: dict, where: str) -> bool:
    """Whether an annotation is of a crowd, by its ``iscrowd``.

    Args:
        annotation: With or without ``iscrowd``: 0, 1, false, true, '0', '1' or null.
        where: What the message of an error begins with.

    Raises:
        InputError: It is something else.
    """
    value = annotation.get('iscrowd', 0)
    if value is None or (isinstance(value, (bool, int, float, str)) and value in (0, 1, '0', '1')):
        return value in (1, '1')
    raise InputError(f'{where}: iscrowd is {quoted(value)}; give 0, or 1 for a crowd')


def mean_area_of(track: dict) -> float | None:
    """Mean of the ``areas`` that an annotation gives itself, over the frames that have one.

    Args:
        track: An entry of ``annotations``.

    Returns:
        Pixels; None where there are no areas, or not one number or null a frame: then the areas
        of the masks count.
    """
    areas = track.get('areas')
    if not isinstance(areas, list) or len(areas) != len(track['segmentations']):
        return None
    if not all(area is None or (is_number(area) and area >= 0) for area in areas):
        return None
    seen = [area for area in areas if area]
    return float(np.mean(seen)) if seen else 0.0


def is_number(value: object) -> bool:
    """Whether it is a finite number; true and false are none."""
    if type(value) is float:
        return math.isfinite(value)
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of 300 digits
        return False


def require(
    entry: object, keys: Sequence[str], where: str, file_format: str = 'YouTube-VIS'
) -> None:
    """Make sure that an entry is an object of JSON with some keys.

    Args:
        entry: To check.
        keys: It needs.
        where: What the message of an error begins with.
        file_format: Of the file, for the message.

    Raises:
        InputError: It is none, or lacks one.
    """
    if not isinstance(entry, dict):
        raise InputError(f'{where} is {quoted(entry)}, no object {{...}}; mend or remove it')
    missing = [key for key in keys if key not in entry]
    if missing:
        name = f' (id {quoted(entry["id"])})' if 'id' in entry else ''
        raise InputError(
            f'{where}{name} lacks {", ".join(map(repr, missing))}; give a file in the '
            f'{file_format} format'
        )


def video_length(video: dict) -> int:
    """Frames of a video, an entry of ``videos``."""
    return video['length'] if 'length' in video else len(video['file_names'])


def listed(values: Collection, most: int = 100) -> str:
    """Ids or names for a message: in order, on one line, not long."""
    return shortened(', '.join(map(str, values)), most)


def check_id(value: object, where: str, others: Collection = ()) -> None:
    """Make sure that this is an id, and of the kind of the others.

    Args:
        value: To check.
        where: What the message of an error begins with.
        others: Ids that are right.

    Raises:
        InputError: It is neither a whole number nor a text, or others are of the other kind.
    """
    if not is_whole(value) and not isinstance(value, str):
        raise InputError(
            f'{where}: the id is {quoted(value)}; give a whole number, or a text in quotes'
        )
    if isinstance(value, str):
        _check_text(value, where)
    first = next(iter(others), value)
    if isinstance(first, str) != isinstance(value, str):
        raise InputError(
            f'{where}: the id is {quoted(value)}, but others are as {quoted(first)}; make all of '
            'them numbers or all of them texts'
        )


def _check_text(value: str, where: str) -> None:
    """Ids and names are printed in tables and drawn into pictures."""
    if _CONTROL.search(value):
        raise InputError(
            f'{where}: {quoted(value)} has a control character, as a line end is one; remove it'
        )


def _check_known(track: dict, videos: Container, categories: Collection, where: str) -> None:
    for key in ('video_id', 'category_id'):
        if not is_whole(track[key]) and not isinstance(track[key], str):
            raise InputError(
                f"{where}: '{key}' is {quoted(track[key])}; give the id, a whole number or a text"
            )
    if track['video_id'] not in videos:
        raise InputError(f"{where}: no such video in 'videos'; add it or remove the annotation")
    if track['category_id'] not in categories:
        raise InputError(
            f"{where}: category_id {quoted(track['category_id'])} is not in the list 'categories'"
            f' ({listed(sorted(categories))}); correct it or add the category'
        )


def is_whole(value: object) -> bool:
    """Whether it is a whole number; true and false are none."""
    return isinstance(value, Integral) and not isinstance(value, bool)
