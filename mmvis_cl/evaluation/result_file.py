"""Result files in the format of a YouTube-VIS submission: the one door for all that read them."""

import io
import logging
import os
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

from mmvis_cl import limits
from mmvis_cl.datasets.annotation_file import (
    check_length,
    check_size,
    is_number,
    is_whole,
    listed,
    video_length,
)
from mmvis_cl.datasets.segmentations import RLECheck, masks_of_track
from mmvis_cl.errors import InputError, quoted
from mmvis_cl.json_file import parse_json, read_bytes

logger = logging.getLogger(__name__)
_KEYS = ('video_id', 'category_id', 'score', 'segmentations')


def load_results(path: str | os.PathLike) -> list[dict]:
    """Read a result file: ``.json``, or a submission ``.zip`` with ``results.json`` inside.

    Args:
        path: Of the file; or a folder that ``mmvis-cl track-all`` wrote, whose files are joined.

    Returns:
        A list of dicts. What is in them is checked where they meet annotations.

    Raises:
        InputError: If the file is missing, broken or not a list of tracks.
    """
    path = Path(path)
    if os.path.isdir(path):
        return [track for file in _files_of(path) for track in load_results(file)]
    data = read_bytes(path)
    if path.suffix == '.zip':
        data = _unpacked(data, path)
    results = parse_json(data, path)
    if not isinstance(results, list) or not all(isinstance(track, dict) for track in results):
        raise InputError(
            f'{path}: not a YouTube-VIS result file, which is a list of tracks '
            '(video_id, category_id, score, segmentations)'
        )
    return results


def check_result(
    track: dict, where: str, videos: dict[int | str, dict], categories: Collection[int | str]
) -> str:
    """Check a result against the annotations, but for its masks.

    Args:
        track: The result.
        where: Its file and place.
        videos: Of the annotations, by their ids.
        categories: Ids of the annotations.

    Returns:
        What messages on it begin with.

    Raises:
        InputError: It lacks something, its values are of the wrong kind, or it does not fit.
    """
    _check_types(track, where)
    video = videos.get(track['video_id'])
    if video is None:
        raise InputError(
            f'{where}: video_id {quoted(track["video_id"])} is not in the annotations, which have '
            f'{listed(list(map(quoted, list(videos)[:8])))}; give the annotations of the videos '
            'that the results are of'
        )
    where = f'{where} (video {quoted(video["id"])})'
    if track['category_id'] not in categories:
        raise InputError(
            f'{where}: category_id {quoted(track["category_id"])} is not in the annotations, which '
            f'have {listed(list(map(quoted, sorted(categories))))}; were the results made with '
            'other classes?'
        )
    check_length('segmentations', track['segmentations'], video_length(video), where)
    return where


def check_results_alone(results: list[dict], name: str) -> list[dict]:
    """Check results without annotations, their masks too.

    Args:
        results: From :func:`load_results`.
        name: Of the file.

    Returns:
        The results, their masks as compressed RLE.

    Raises:
        InputError: A track lacks something, or those of a video do not fit each other.
    """
    lengths: dict[int, int] = {}
    sizes: dict[int, list] = {}
    checked = []
    for index, track in enumerate(results):
        where = f'{name}: entry {index}'
        _check_types(track, where)
        video_id, masks = track['video_id'], track['segmentations']
        length = lengths.setdefault(video_id, len(masks) if isinstance(masks, list) else 1)
        check_length('segmentations', masks, max(length, 1), where)
        size = next((rle.get('size') for rle in masks if isinstance(rle, dict)), None)
        if size is None and any(masks):
            raise InputError(f'{where}: its masks are no RLE; write the results as RLE')
        if size is not None:
            if not isinstance(size, list) or len(size) != 2:
                raise InputError(
                    f'{where}: the size of a mask is {quoted(size)}; give [height, width]'
                )
            check_size(size[0], size[1], where)
            height, width = sizes.setdefault(video_id, size)
            masks = masks_of_track(masks, height, width, where)
        checked.append(dict(track, segmentations=masks))
    return checked


def tracks_by_video(results: list[dict], name: str, annotations: dict) -> dict[int, list[dict]]:
    """Check the tracks of a result file and sort them by video.

    Args:
        results: In the format of a YouTube-VIS submission, see ``load_results``.
        name: Of the file, for errors.
        annotations: With ``videos`` and ``categories``, see ``load_annotations``.

    Returns:
        For each video id that occurs its tracks in their order: ``category_id``, ``score`` and
        ``segmentations``, for each frame compressed RLE of the video's size, or None.

    Raises:
        InputError: A track lacks something or does not fit the annotations.
    """
    videos = {video['id']: video for video in annotations['videos']}
    categories = {category['id'] for category in annotations['categories']}
    tracks, check = defaultdict(list), RLECheck()
    for index, entry in enumerate(results):
        where = check_result(entry, f'{name}: entry {index}', videos, categories)
        if entry['score'] < 0:
            raise InputError(
                f'{where}: the score is {quoted(entry["score"])}; scores must be comparable '
                'between the files: probabilities, 0 to 1'
            )
        video = videos[entry['video_id']]
        tracks[video['id']].append(
            dict(
                category_id=entry['category_id'],
                score=entry['score'],
                segmentations=masks_of_track(
                    entry['segmentations'], video['height'], video['width'], where, check
                ),
            )
        )
    check.finish()
    return tracks


def _files_of(folder: Path) -> list[Path]:
    """The result files of the videos that ``mmvis-cl track-all`` has in a folder."""
    records = sorted(folder.glob('videos/*/record.json'))
    files = [record.with_name('results.json') for record in records]
    there = [file for file in files if os.path.exists(file)]
    if not there:
        raise InputError(
            f'{folder}: has no videos/NAME/results.json; give a result file, or a folder that '
            'mmvis-cl track-all wrote with --out-json'
        )
    if len(there) < len(files):
        logger.warning(
            f'{folder}: {len(files) - len(there)} of {len(files)} videos have no results; track '
            'them anew by mmvis-cl track-all --retry-failed'
        )
    return there


def _check_types(track: dict, where: str) -> None:
    for key in _KEYS:
        if key not in track:
            raise InputError(f"{where}: has no '{key}'; write the results again")
    for key in ('video_id', 'category_id'):
        if not is_whole(track[key]) and not isinstance(track[key], str):
            raise InputError(
                f"{where}: '{key}' is {quoted(track[key])}; give the id that the annotations have"
            )
    if not is_number(track['score']):
        raise InputError(f'{where}: the score is {quoted(track["score"])}, not a finite number')


def _unpacked(data: bytes, path: Path) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open('results.json') as file:
            packed = archive.getinfo('results.json')
            # only deflate can be inflated step by step
            if packed.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise InputError(f'{path}: is packed in an unusual way; use zip or zip -0')
            if packed.file_size > limits.MAX_UNZIPPED_BYTES:
                raise InputError(
                    f'{path}: its results.json has {packed.file_size} bytes, the most is '
                    f'{limits.MAX_UNZIPPED_BYTES}; give results.json itself, or raise '
                    'MMVIS_CL_MAX_UNZIPPED_BYTES'
                )
            # In steps: read() alone inflates all there is before it cuts it at the size stated.
            return b''.join(iter(lambda: file.read(1 << 20), b''))
    except KeyError:
        raise InputError(
            f'{path}: no results.json inside; a submission has it at the top level'
        ) from None
    except InputError:
        raise
    except (
        zipfile.BadZipFile,
        zlib.error,
        OSError,
        EOFError,
        ValueError,
        RuntimeError,  # a password is needed; another way to pack is NotImplementedError
    ) as error:
        raise InputError(f'{path}: not a usable zip file ({error})') from None
