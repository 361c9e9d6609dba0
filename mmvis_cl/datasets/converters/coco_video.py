"""Annotations in the format COCO-video: images of videos, and annotations with a track's id."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from mmvis_cl.datasets.annotation_file import (
    check_categories,
    check_size,
    is_crowd,
    is_number,
    is_whole,
)
from mmvis_cl.datasets.segmentations import to_rle
from mmvis_cl.datasets.video_source import natural_order
from mmvis_cl.errors import InputError, quoted
from mmvis_cl.files import is_zip
from mmvis_cl.json_file import read_json

from .drawn_shapes import fill_box
from .frame_files import Frames, ImageFrames, VideoFrames, find_video, is_below, pick_images
from .own_videos import AnnotatedTrack, AnnotatedVideo, Annotations

IMAGE_KEYS = ('file_name', 'height', 'width')


def read_coco_video(
    path: Path,
    frames: Path,
    boxes: str = 'refuse',
    min_score: float = 0.0,
    files: Sequence[str] | None = None,
) -> Annotations:
    """Read a COCO-video file: made by hand, by another tool, or by ``mmvis-cl track``.

    The file has ``videos``; ``images`` with ``video_id``, ``frame_id`` or ``frame_index``,
    ``file_name``, ``height`` and ``width``; ``annotations`` with ``image_id``, ``track_id`` or
    ``instance_id``, ``category_id`` and ``segmentation``; ``categories``. An annotation with a
    ``score`` is a result: the class of a track may change, and the one with the highest sum of
    scores is taken.

    Without ``videos`` it is plain COCO, as CVAT exports a video task: the images of a folder are
    the frames of a video, in the natural order of their names, and ``attributes.track_id`` says
    which annotations are one object.

    Args:
        path: Of the file.
        frames: The folder that ``file_name`` starts from. Where there is no such image: as
            :func:`find_video`, by the video's name.
        boxes: What to do with annotations that have a box only: 'refuse', 'fill' (the mask is the
            whole box) or 'skip'.
        min_score: Tracks whose mean score is less are left out, if they have scores.
        files: The image of each frame of the source, from ``frames``, in place of ``file_name``.

    Raises:
        InputError: The file is missing, broken or contradicts itself, or a frame is missing.
    """
    content = _load(path)
    if files is not None:
        _name_files(path, content['images'], files)
    categories = check_categories(content['categories'], str(path))
    annotations = Annotations([], [dict(id=i, name=name) for i, name in categories.items()])
    plain = not content.get('videos')
    needed = IMAGE_KEYS if plain else ('video_id', *IMAGE_KEYS)
    images = _by_id(path, content['images'], 'images', *needed)
    if plain:
        videos = _videos_of_folders(images.values(), frames, path)
    else:
        videos = _by_id(path, content['videos'], 'videos')
    images_of = defaultdict(list)
    for image_id, image in images.items():
        check_size(image['height'], image['width'], f'{path}: image {quoted(image_id)}')
        if image['video_id'] not in videos:
            raise InputError(
                f"{path}: image {image_id} is of video {image['video_id']}, which 'videos' does "
                'not have; add it or remove the image'
            )
        images_of[image['video_id']].append(image)

    names, sources, place = {}, {}, {}  # place: of each image in its video
    for video_id, its_images in images_of.items():
        _put_in_order(its_images, f'{path}: video {quoted(video_id)}')
        place.update({image['id']: i for i, image in enumerate(its_images)})
        names[video_id] = str(videos[video_id].get('name') or f'video_{video_id}')
        alone = len(images_of) == 1
        sources[video_id] = _frames(frames, names[video_id], its_images, alone, path)
        sources[video_id].check_size((its_images[0]['height'], its_images[0]['width']))
    reader = _TrackReader(path, set(categories), boxes, min_score)
    for index, annotation in enumerate(content['annotations']):
        try:
            reader.add(annotation, images)
        except (TypeError, LookupError, AttributeError, ValueError, OverflowError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f'{path}: entry {index} of annotations has values of the wrong kind '
                f'({type(error).__name__}: {error}); write the file again'
            ) from error
    for video_id, its_images in images_of.items():
        annotations.videos.append(
            AnnotatedVideo(
                names[video_id],
                (its_images[0]['height'], its_images[0]['width']),
                sources[video_id],
                reader.tracks(video_id, place),
            )
        )
    annotations.notes += reader.notes()
    return annotations


class _TrackReader:
    """Collects annotations by track."""

    def __init__(self, path: Path, category_ids: set, boxes: str, min_score: float) -> None:
        self.path = path
        self.category_ids = category_ids
        self.boxes = boxes
        self.min_score = min_score
        self.entries = {}  # {video: {track: {image: (annotation, mask)}}}
        self.counts = dict.fromkeys(('filled', 'skipped', 'changed', 'weak', 'crowd'), 0)

    def add(self, annotation: dict, images: dict) -> None:
        """Checks an annotation and adds it to its track."""
        where = f'{self.path}: annotation {annotation.get("id")}'
        image = images.get(annotation.get('image_id'))
        if image is None:
            raise InputError(
                f"{where} is of image {annotation.get('image_id')}, which 'images' does not have; "
                'add it or remove the annotation'
            )
        attributes = annotation.get('attributes') or {}
        track_id = annotation.get('track_id', annotation.get('instance_id'))
        if track_id is None:
            track_id = attributes.get('track_id')
        if track_id is None:
            raise InputError(
                f'{where} has no track_id, no instance_id and no attributes.track_id; give all '
                'masks of an object the same, as CVAT does where objects are drawn as tracks'
            )
        if annotation.get('category_id') not in self.category_ids:
            raise InputError(
                f"{where} has category_id {annotation.get('category_id')}, which 'categories' "
                'does not have; correct it or add the category'
            )
        score = annotation.get('score', 1)
        if not is_number(score):
            raise InputError(
                f'{where} has the score {quoted(score)}; give a finite number or leave it out'
            )
        is_crowd(annotation, where)
        mask = self._mask(annotation, image, where, attributes)
        if mask is None:
            return
        track = self.entries.setdefault(image['video_id'], {}).setdefault(track_id, {})
        if image['id'] in track:
            raise InputError(
                f'{where}: track {track_id} has another annotation in image {image["id"]}; join '
                'them or give them different tracks'
            )
        track[image['id']] = annotation, mask

    def tracks(self, video_id: int, place: dict) -> list[AnnotatedTrack]:
        """Those of a video; the masks by the places of their images."""
        tracks = []
        for track_id, entries in self.entries.get(video_id, {}).items():
            votes, scores = Counter(), []
            for annotation, _ in entries.values():
                votes[annotation['category_id']] += annotation.get('score', 1)
                scores.append(annotation.get('score', 1))
            if sum(scores) / len(scores) < self.min_score:
                self.counts['weak'] += 1
                continue
            if len(votes) > 1:
                if any('score' not in annotation for annotation, _ in entries.values()):
                    raise InputError(
                        f'{self.path}: track {track_id} of video {video_id} has the categories '
                        f'{", ".join(map(str, votes))}; an object has one class, so correct it or '
                        'give another track_id'
                    )
                self.counts['changed'] += 1
            crowd = any(is_crowd(entry, str(self.path)) for entry, _ in entries.values())
            self.counts['crowd'] += crowd
            tracks.append(
                AnnotatedTrack(
                    votes.most_common(1)[0][0],
                    {place[image_id]: mask for image_id, (_, mask) in entries.items()},
                    crowd=crowd,
                )
            )
        return tracks

    def notes(self) -> list[str]:
        """What was counted, a line each."""
        lines = dict(
            filled='boxes were taken as masks',
            skipped='boxes were skipped',
            changed='tracks change their class; the one with the highest sum of scores was taken',
            crowd='tracks are crowds (iscrowd 1), which no training takes and scores ignore',
            weak=f'tracks with a mean score below {self.min_score} were left out',
        )
        return [f'{self.counts[key]} {text}' for key, text in lines.items() if self.counts[key]]

    def _mask(self, annotation: dict, image: dict, where: str, attributes: dict) -> dict | None:
        size = image['height'], image['width']
        if annotation.get('segmentation'):
            return to_rle(annotation['segmentation'], *size, where)
        if self.boxes == 'refuse' or len(annotation.get('bbox') or ()) != 4:
            raise InputError(
                f'{where} has no segmentation; add it, or take the whole box (x, y, width, height) '
                'as the mask with --boxes fill, or leave such annotations out with --boxes skip'
            )
        if self.boxes == 'skip':
            self.counts['skipped'] += 1
            return None
        self.counts['filled'] += 1
        degrees = attributes.get('rotation') or 0.0  # CVAT's bbox is that before it was turned
        return fill_box(annotation['bbox'], size, where, degrees)


def _load(path: Path) -> dict:
    if is_zip(path):
        raise InputError(f'{path}: is a zip; unpack it and give the .json in it')
    content = read_json(path)
    first = content[0] if isinstance(content, list) and content else None
    if isinstance(first, dict) and ({'data', 'annotations'} <= set(first) or 'video' in first):
        raise InputError(
            f'{path}: is an export of Label Studio; convert it with label_studio_to_vis.py'
        )
    found = content if isinstance(content, dict) else {}
    keys = (
        'images',
        'annotations',
        'categories',
        *(['videos'] if found.get('videos') is not None else []),
    )
    missing = [key for key in keys if not isinstance(found.get(key), list)]
    if missing:
        raise InputError(
            f'{path}: no list {", ".join(map(repr, missing))}; give a file in the format '
            'COCO-video (YouTube-VIS files need no conversion)'
        )
    return content


def _name_files(path: Path, images: list, files: Sequence[str]) -> None:
    """Let images have the files of the frames that they are in the source."""
    for image in images:
        number = image.get('source_frame') if isinstance(image, dict) else None
        if not is_whole(number) or not 0 <= number < len(files):
            raise InputError(
                f'{path}: an image has source_frame {quoted(number)}, the source has {len(files)} '
                'frames; give the annotation file that was tracked'
            )
        image['file_name'] = files[number]


def _videos_of_folders(images: Iterable[dict], frames: Path, path: Path) -> dict:
    """Videos of a file that has none: the images of a folder, which get what is missing."""
    images_of = defaultdict(list)
    for image in images:
        if not isinstance(image.get('video_id'), (int, str)):
            image['video_id'] = Path(image['file_name']).parent.as_posix()
        images_of[image['video_id']].append(image)
    videos = {}
    for video_id, its_images in images_of.items():
        folder = Path(its_images[0]['file_name']).parent.as_posix()
        videos[video_id] = dict(name=frames.resolve().stem if folder == '.' else folder)
        its_images.sort(key=lambda image: natural_order(Path(image['file_name'])))
        for image, following in pairwise(its_images):
            if image['file_name'] == following['file_name']:
                raise InputError(
                    f'{path}: images {image["id"]} and {following["id"]} are both '
                    f'{quoted(image["file_name"])}; export each task to a file of its own'
                )
        if all('frame_id' in image or 'frame_index' in image for image in its_images):
            continue
        # CVAT's names say the frame of the video, which counts if the frames come from that
        named = [
            re.fullmatch(r'frame_([0-9]{1,9})', Path(image['file_name']).stem, re.IGNORECASE)
            for image in its_images
        ]
        for index, (image, match) in enumerate(zip(its_images, named, strict=True)):
            image['frame_id'] = int(match[1]) if all(named) else index
    return videos


def _put_in_order(images: list[dict], where: str) -> None:
    """Sorts the images of a video; they must be different frames of one size."""
    numbers = [_frame_number(image, where) for image in images]
    twice = [number for number, count in Counter(numbers).items() if count > 1]
    if twice:
        raise InputError(f'{where}: two images are frame {twice[0]}; number them differently')
    images.sort(key=lambda image: _frame_number(image, where))
    sizes = {(image['height'], image['width']) for image in images}
    if len(sizes) > 1:
        some = sorted(sizes)[:5]
        raise InputError(
            f'{where}: its images are of different sizes (height, width: '
            f'{", ".join(map(str, some))}); all frames of a video must be of one size'
        )


def _by_id(path: Path, values: list, kind: str, *keys: str) -> dict:
    """Checked entries of a list of the file by their ids."""
    entries = {}
    for index, entry in enumerate(values):
        lacks = [key for key in ('id', *keys) if not isinstance(entry, dict) or key not in entry]
        if lacks:
            raise InputError(
                f'{path}: entry {index} of {kind} lacks {", ".join(lacks)}; add it to the file'
            )
        kinds = dict(height=object, width=object, file_name=str)  # sizes are checked on their own
        wrong = [
            key for key in ('id', *keys) if not isinstance(entry[key], kinds.get(key, (int, str)))
        ]
        if wrong:
            raise InputError(
                f'{path}: entry {index} of {kind} has {wrong[0]}={quoted(entry[wrong[0]])}, a '
                'value of the wrong kind; write the file again'
            )
        if entry['id'] in entries:
            raise InputError(
                f'{path}: the id {entry["id"]} is given to two {kind}; make ids unique'
            )
        entries[entry['id']] = entry
    return entries


def _frame_number(image: dict, where: str) -> int:
    number = image.get('frame_id', image.get('frame_index'))
    if not is_whole(number) or number < 0:
        raise InputError(
            f'{where}: image {image["id"]} has no whole number frame_id or frame_index from 0 on; '
            'number the frames of each video in their order'
        )
    return number


def _frames(root: Path, name: str, images: list[dict], alone: bool, path: Path) -> Frames:
    """The image files that the file names; else the video or folder of the video's name."""
    for image in images:
        if not is_below(image['file_name']):
            raise InputError(
                f'{path}: image {image["id"]} has the file_name {quoted(image["file_name"])}, '
                'which leads out of --frames; write it as it is from there'
            )
    files = [root / image['file_name'] for image in images]
    if os.path.isfile(root) or not any(map(os.path.exists, files)):
        numbers = [image.get('source_frame', image.get('frame_id')) for image in images]
        if None in numbers:
            numbers = list(range(len(images)))
        if not all(map(is_whole, numbers)) or any(
            number >= following for number, following in pairwise([-1, *numbers])
        ):
            raise InputError(
                f'{path}: source_frame of the images of {name!r} are no whole numbers from 0 on '
                'that grow; correct or remove them'
            )
        folder_names = [name, str(Path(images[0]['file_name']).parent)]
        try:
            place = find_video(root, folder_names, alone)
            if os.path.isfile(place):
                return VideoFrames(place, numbers)
            found = pick_images(place, numbers)
            files = [found.get(number, place / f'frame_{number:06d}') for number in numbers]
        except InputError as error:
            raise InputError(
                f'{files[0]}: there is no such image, nor another source ({error})'
            ) from error
    missing = [file for file in files if not os.path.isfile(file)]
    if missing:
        raise InputError(
            f'{missing[0]}: the image is missing ({len(missing)} of the {len(files)} of {name!r}); '
            'put it there or correct --frames'
        )
    return ImageFrames(files)
