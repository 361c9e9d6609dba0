"""Annotations in the format COCO-video: images of videos, and annotations with a track's id."""

import json
from collections import Counter, defaultdict
from pathlib import Path

from mmvis_cl.errors import InputError

from .drawn_shapes import fill_box
from .frame_files import Frames, ImageFrames, VideoFrames, find_video, pick_images
from .own_videos import AnnotatedTrack, AnnotatedVideo, Annotations
from .segmentations import to_rle


def read_coco_video(
    path: Path, frames: Path, boxes: str = 'refuse', min_score: float = 0.0
) -> Annotations:
    """Read a COCO-video file: made by hand, by another tool, or by ``mmvis-cl track``.

    The file has ``videos``; ``images`` with ``video_id``, ``frame_id`` or ``frame_index``,
    ``file_name``, ``height`` and ``width``; ``annotations`` with ``image_id``, ``track_id`` or
    ``instance_id``, ``category_id`` and ``segmentation``; ``categories``. An annotation with a
    ``score`` is a result: the class of a track may change, and the one with the highest sum of
    scores is taken.

    Args:
        path: Of the file.
        frames: The folder that ``file_name`` starts from. Where there is no such image: as
            :func:`find_video`, by the video's name.
        boxes: What to do with annotations that have a box only: 'refuse', 'fill' (the mask is the
            whole box) or 'skip'.
        min_score: Tracks whose mean score is less are left out, if they have scores.

    Raises:
        InputError: The file is missing, broken or contradicts itself, or a frame is missing.
    """
    content = _load(path)
    annotations = Annotations([], _categories(path, content))
    videos = _by_id(path, content, 'videos')
    images = _by_id(path, content, 'images', 'video_id', 'file_name', 'height', 'width')
    images_of = defaultdict(list)
    for image_id, image in images.items():
        if image['video_id'] not in videos:
            raise InputError(
                f"{path}: image {image_id} is of video {image['video_id']}, which 'videos' does "
                'not have; add it or remove the image'
            )
        images_of[image['video_id']].append(image)

    reader = _TrackReader(path, {c['id'] for c in annotations.categories}, boxes, min_score)
    place = {}  # of each image in its video
    for video_id, its_images in images_of.items():
        where = f'{path}: video {video_id}'
        numbers = [_frame_number(image, path) for image in its_images]
        twice = [number for number, count in Counter(numbers).items() if count > 1]
        if twice:
            raise InputError(f'{where}: two images are frame {twice[0]}; number them differently')
        its_images.sort(key=lambda image: _frame_number(image, path))
        sizes = {(image['height'], image['width']) for image in its_images}
        if len(sizes) > 1:
            raise InputError(
                f'{where}: its images are of different sizes (height, width: '
                f'{", ".join(map(str, sorted(sizes)))}); all frames of a video must be of one size'
            )
        place.update({image['id']: i for i, image in enumerate(its_images)})
    for index, annotation in enumerate(content['annotations']):
        try:
            reader.add(annotation, images)
        except (TypeError, LookupError, AttributeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f'{path}: entry {index} of annotations has values of the wrong kind '
                f'({type(error).__name__}: {error}); write the file again'
            ) from error
    for video_id, its_images in images_of.items():
        name = str(videos[video_id].get('name') or f'video_{video_id}')
        annotations.videos.append(
            AnnotatedVideo(
                name,
                (its_images[0]['height'], its_images[0]['width']),
                _frames(frames, name, its_images, alone=len(images_of) == 1),
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
        self.entries = defaultdict(dict)  # {(video, track): {image: (annotation, mask)}}
        self.counts = dict.fromkeys(('filled', 'skipped', 'changed', 'weak'), 0)

    def add(self, annotation: dict, images: dict) -> None:
        """Checks an annotation and adds it to its track."""
        where = f'{self.path}: annotation {annotation.get("id")}'
        image = images.get(annotation.get('image_id'))
        if image is None:
            raise InputError(
                f"{where} is of image {annotation.get('image_id')}, which 'images' does not have; "
                'add it or remove the annotation'
            )
        track_id = annotation.get('track_id', annotation.get('instance_id'))
        if track_id is None:
            raise InputError(
                f'{where} has no track_id and no instance_id; give all masks of an object the same'
            )
        if annotation.get('category_id') not in self.category_ids:
            raise InputError(
                f"{where} has category_id {annotation.get('category_id')}, which 'categories' "
                'does not have; correct it or add the category'
            )
        mask = self._mask(annotation, image, where)
        if mask is None:
            return
        track = self.entries[image['video_id'], track_id]
        if image['id'] in track:
            raise InputError(
                f'{where}: track {track_id} has another annotation in image {image["id"]}; join '
                'them or give them different tracks'
            )
        track[image['id']] = annotation, mask

    def tracks(self, video_id: int, place: dict) -> list[AnnotatedTrack]:
        """Those of a video; the masks by the places of their images."""
        tracks = []
        for (its_video, track_id), entries in self.entries.items():
            if its_video != video_id:
                continue
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
            tracks.append(
                AnnotatedTrack(
                    votes.most_common(1)[0][0],
                    {place[image_id]: mask for image_id, (_, mask) in entries.items()},
                    crowd=any(annotation.get('iscrowd') for annotation, _ in entries.values()),
                )
            )
        return tracks

    def notes(self) -> list[str]:
        """What was counted, a line each."""
        lines = dict(
            filled='boxes were taken as masks',
            skipped='boxes were skipped',
            changed='tracks change their class; the one with the highest sum of scores was taken',
            weak=f'tracks with a mean score below {self.min_score} were left out',
        )
        return [f'{self.counts[key]} {text}' for key, text in lines.items() if self.counts[key]]

    def _mask(self, annotation: dict, image: dict, where: str) -> dict | None:
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
        return fill_box(annotation['bbox'], size, where)


def _load(path: Path) -> dict:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f'{path}: cannot be read ({error.strerror}); correct the path') from error
    except ValueError as error:
        raise InputError(f'{path}: not valid JSON ({error}); copy the file again') from error
    found = content if isinstance(content, dict) else {}
    keys = ('videos', 'images', 'annotations', 'categories')
    missing = [key for key in keys if not isinstance(found.get(key), list)]
    if missing:
        raise InputError(
            f'{path}: no list {", ".join(map(repr, missing))}; give a file in the format '
            'COCO-video (YouTube-VIS files need no conversion)'
        )
    return content


def _by_id(path: Path, content: dict, kind: str, *keys: str) -> dict:
    entries = {}
    for index, entry in enumerate(content[kind]):
        lacks = [key for key in ('id', *keys) if not isinstance(entry, dict) or key not in entry]
        if lacks:
            raise InputError(
                f'{path}: entry {index} of {kind} lacks {", ".join(lacks)}; add it to the file'
            )
        kinds = dict(height=int, width=int, file_name=str)
        wrong = [
            key for key in ('id', *keys) if not isinstance(entry[key], kinds.get(key, (int, str)))
        ]
        if wrong:
            raise InputError(
                f'{path}: entry {index} of {kind} has {wrong[0]}={entry[wrong[0]]!r}, a value of '
                'the wrong kind; write the file again'
            )
        if entry['id'] in entries:
            raise InputError(
                f'{path}: the id {entry["id"]} is given to two {kind}; make ids unique'
            )
        entries[entry['id']] = entry
    return entries


def _categories(path: Path, content: dict) -> list[dict]:
    categories = _by_id(path, content, 'categories', 'name').values()
    return [dict(id=category['id'], name=category['name']) for category in categories]


def _frame_number(image: dict, path: Path) -> int:
    number = image.get('frame_id', image.get('frame_index'))
    if not isinstance(number, int):
        raise InputError(
            f'{path}: image {image["id"]} has no whole number frame_id or frame_index; number the '
            'frames of each video in their order'
        )
    return number


def _frames(root: Path, name: str, images: list[dict], alone: bool) -> Frames:
    """The image files that the file names; else the video or folder of the video's name."""
    files = [root / image['file_name'] for image in images]
    if root.is_file() or not any(file.exists() for file in files):
        numbers = [image.get('source_frame', image.get('frame_id')) for image in images]
        if None in numbers:
            numbers = list(range(len(images)))
        folder_names = [name, str(Path(images[0]['file_name']).parent)]
        try:
            place = find_video(root, folder_names, alone)
            if place.is_file():
                return VideoFrames(place, numbers)
            found = pick_images(place, numbers)
            files = [found.get(number, place / f'frame_{number:06d}') for number in numbers]
        except InputError as error:
            raise InputError(
                f'{files[0]}: there is no such image, nor another source ({error})'
            ) from error
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise InputError(
            f'{missing[0]}: the image is missing ({len(missing)} of the {len(files)} of {name!r}); '
            'put it there or correct --frames'
        )
    return ImageFrames(files)
