"""Tracked videos by their identities, from whatever they were written to."""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmvis_cl.datasets.annotation_file import check_size, is_number, is_whole
from mmvis_cl.datasets.segmentations import to_rle
from mmvis_cl.errors import InputError, quoted
from mmvis_cl.json_file import read_json

from .result_file import check_results_alone, load_results

logger = logging.getLogger(__name__)


@dataclass
class TrackedIdentity:
    """An identity of a video.

    Attributes:
        number: Its own in COCO-video files, its place among the tracks in result files.
        classes: Score of each class that it may be, by the class's name or id; the best first.
        masks: Compressed COCO RLE by the frame's place in the video.
        scores: Likewise; in result files the same in all frames.
    """

    number: int
    classes: dict[str, float]
    masks: dict[int, dict] = field(default_factory=dict)
    scores: dict[int, float] = field(default_factory=dict)


@dataclass
class TrackedVideo:
    """A video that was tracked.

    Attributes:
        name: Its id, in result files as text.
        frames: Number of each frame in the source; from 0 on where the file does not say.
        identities: What was found.
        source: Path or address of the video; None if the results do not say.
    """

    name: str
    frames: list[int]
    identities: list[TrackedIdentity]
    source: str | None = None


def read_tracked_videos(path: str | os.PathLike) -> Iterator[TrackedVideo]:
    """Read what ``mmvis-cl track`` or ``track-all`` wrote, video by video.

    Args:
        path: A result file (``.json``, ``.zip``); a COCO-video file, which also has the scores of
            each frame and its number in the source; or a folder of ``track-all``, of which those
            are taken if there are both.

    Yields:
        The videos. Of a folder also those without an object.

    Raises:
        InputError: The file is missing, broken or of another kind.
    """
    path = Path(path)
    if os.path.isdir(path):
        yield from _of_folder(path)
        return
    if path.suffix != '.zip':
        content = read_json(path)
        if isinstance(content, dict):
            yield from _of_coco(content, str(path))
            return
    yield from _of_results(load_results(path), str(path))


def _of_folder(folder: Path) -> Iterator[TrackedVideo]:
    found, failed = False, 0
    for path in sorted(folder.glob('videos/*/record.json')):
        record = read_json(path)
        if not isinstance(record, dict) or not isinstance(record.get('id'), str):
            raise InputError(f'{path}: is no record of a video; remove its folder')
        files = [path.with_name(name) for name in ('coco.json', 'results.json')]
        file = next((file for file in files if os.path.exists(file)), None)
        if file is None:
            failed += 1
            continue
        found = True
        videos = list(read_tracked_videos(file))
        count = record['frames'] if is_whole(record.get('frames')) else 0
        empty = TrackedVideo('', list(range(count)), [])
        for video in videos or [empty]:
            video.name, video.source = record['id'], str(record.get('source'))
            yield video
    if not found:
        raise InputError(
            f'{folder}: has no videos/NAME/results.json; give a result file, or a folder that '
            'mmvis-cl track-all wrote with --out-json or --out-coco'
        )
    if failed:
        logger.warning(f'{folder}: {failed} videos have no results; they failed')


def _of_results(results: list[dict], path: str) -> Iterator[TrackedVideo]:
    """An identity is there once for each class that it may be, with the same masks."""
    videos: dict[Any, dict[tuple, TrackedIdentity]] = {}
    lengths: dict[Any, int] = {}
    for place, track in enumerate(check_results_alone(results, path)):
        masks = track['segmentations']
        key = tuple(rle and rle['counts'] for rle in masks)
        identities = videos.setdefault(track['video_id'], {})
        lengths[track['video_id']] = len(masks)
        identity = identities.get(key)
        if identity is None:
            seen = {frame: rle for frame, rle in enumerate(masks) if rle}
            identity = identities[key] = TrackedIdentity(place, {}, seen)
        name = str(track.get('category', track['category_id']))
        identity.classes[name] = max(track['score'], identity.classes.get(name, 0.0))
    for video_id, identities in videos.items():
        for identity in identities.values():
            by_score = sorted(identity.classes.items(), key=lambda pair: -pair[1])
            identity.classes = dict(by_score)
            identity.scores = dict.fromkeys(identity.masks, by_score[0][1])
        yield TrackedVideo(str(video_id), list(range(lengths[video_id])), [*identities.values()])


def _of_coco(content: dict, path: str) -> Iterator[TrackedVideo]:
    """What ``--out-coco`` writes: videos, images and annotations with a score and a track id."""
    try:
        names = {category['id']: str(category['name']) for category in content['categories']}
        videos: dict[Any, list[dict]] = {video['id']: [] for video in content['videos']}
        titles = {video['id']: str(video.get('name') or video['id']) for video in content['videos']}
        images = {image['id']: image for image in content['images']}
        for image in content['images']:
            check_size(image['height'], image['width'], f'{path}: image {quoted(image["id"])}')
            videos[image['video_id']].append(image)
        of_video: dict[Any, list[dict]] = {video_id: [] for video_id in videos}
        for annotation in content['annotations']:
            where = f'{path}: annotation {quoted(annotation.get("id"))}'
            if not is_whole(annotation['track_id']) or not is_number(annotation['score']):
                raise InputError(f'{where}: has no track_id or score; give a file of --out-coco')
            annotation['name'] = names[annotation['category_id']]
            image = images[annotation['image_id']]
            size = image['height'], image['width']
            annotation['segmentation'] = to_rle(annotation['segmentation'], *size, where)
            of_video[image['video_id']].append(annotation)
        for images_of in videos.values():
            images_of.sort(key=lambda image: image['frame_id'])
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f'{path}: is neither a result file nor one of --out-coco ({type(error).__name__}: '
            f'{error}); give one of the two'
        ) from error
    for video_id, images_of in videos.items():
        places = {image['id']: place for place, image in enumerate(images_of)}
        numbers = [image.get('source_frame', place) for place, image in enumerate(images_of)]
        if not all(is_whole(number) for number in numbers):
            raise InputError(f'{path}: a source_frame is no number; write the file again')
        identities: dict[int, TrackedIdentity] = {}
        for annotation in of_video[video_id]:
            number = annotation['track_id']
            identity = identities.setdefault(number, TrackedIdentity(number, {}))
            place = places[annotation['image_id']]
            identity.masks[place] = annotation['segmentation']
            identity.scores[place] = float(annotation['score'])
            name = annotation['name']
            identity.classes[name] = max(identity.scores[place], identity.classes.get(name, 0.0))
        for identity in identities.values():
            identity.classes = dict(sorted(identity.classes.items(), key=lambda pair: -pair[1]))
        yield TrackedVideo(titles[video_id], numbers, [*identities.values()])
