"""Annotations as indexed PNGs, one a frame: those of DAVIS and YouTube-VOS."""

import csv
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as mask_utils

from mmvis_cl.errors import InputError

from .frame_files import ImageFrames, images_in
from .own_videos import AnnotatedTrack, AnnotatedVideo, Annotations, Progress, no_progress
from .video_source import natural_order

VOID = 255


@dataclass
class ObjectClasses:
    """Which object is of which class.

    Attributes:
        by_object: The class of (video, object); video is None where it holds for all videos.
        default: The class of all others; None if there must be none.
    """

    by_object: dict[tuple[str | None, int], str] = field(default_factory=dict)
    default: str | None = 'object'

    @property
    def names(self) -> list[str]:
        """All classes, in the order in which they are given."""
        given = [*self.by_object.values(), *([self.default] if self.default else [])]
        return list(dict.fromkeys(given))

    def of(self, video: str, number: int) -> str | None:
        """The class of an object, None if it is not given."""
        everywhere = self.by_object.get((None, number), self.default)
        return self.by_object.get((video, number), everywhere)


def read_object_classes(path: Path) -> ObjectClasses:
    """Read which object is of which class.

    Args:
        path: A ``.csv`` with the columns ``object``, ``class`` and, unless it holds for all videos,
            ``video``; or a ``.json``: ``{video: {object: class}}``, ``{object: class}`` for all
            videos, or the ``meta.json`` of YouTube-VOS.

    Raises:
        InputError: It is missing or of another form.
    """
    try:
        if path.suffix.lower() == '.csv':
            with path.open(newline='', encoding='utf-8-sig') as file:
                rows = csv.DictReader(file, skipinitialspace=True)
                pairs = [((row.get('video'), row['object']), row['class']) for row in rows]
        else:
            content = json.loads(path.read_bytes())
            content = content.get('videos', content)
            pairs = []
            for key, value in content.items():
                if isinstance(value, str):
                    pairs.append(((None, key), value))
                    continue
                for number, entry in value.get('objects', value).items():
                    name = entry['category'] if isinstance(entry, dict) else entry
                    pairs.append(((key, number), name))
        classes = {(video or None, int(number)): name for (video, number), name in pairs}
        if not classes or not all(name and isinstance(name, str) for name in classes.values()):
            raise ValueError('a class is empty or there is none')
    except OSError as error:
        raise InputError(f'{path}: cannot be read ({error.strerror}); correct the path') from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f'{path}: does not say which object is of which class ({type(error).__name__}: '
            f'{error}); give a .csv with the columns video, object and class, or a .json as '
            '{"video": {"1": "class"}}'
        ) from error
    return ObjectClasses(classes, default=None)


def read_mask_pngs(
    images: Path,
    masks: Path,
    classes: ObjectClasses | None = None,
    videos: Sequence[str] | None = None,
    binary: bool = False,
    void: int | None = VOID,
    drop_unlabelled: bool = False,
    progress: Progress = no_progress,
) -> Annotations:
    """Read masks in which the value of a pixel is the number of its object, 0 for background.

    Args:
        images: Holds a folder of images for each video.
        masks: Holds a folder of PNGs for each video, with the names of the images.
        classes: Of the objects; all are of the class 'object' if None.
        videos: Names of the videos to take; all of ``masks`` if None.
        binary: Every value but 0 is the one object of the video.
        void: The value in 8-bit PNGs that belongs to nothing; it becomes background. None if that
            value is an object's as well.
        drop_unlabelled: Leave out images that have no PNG.
        progress: Shows how far it is.

    Raises:
        InputError: A folder, image, PNG or class is missing or broken, or does not fit.
    """
    classes = classes or ObjectClasses()
    for folder in (images, masks):
        if not folder.is_dir():
            raise InputError(f'{folder}: there is no such folder; correct --images or --masks')
    if videos is None:
        videos = [path.name for path in sorted(masks.iterdir(), key=natural_order) if path.is_dir()]
    if not videos:
        raise InputError(f'{masks}: has no folder of PNGs for a video; correct --masks')
    category_ids = {name: i for i, name in enumerate(classes.names, 1)}
    annotations = Annotations([], [dict(id=i, name=name) for name, i in category_ids.items()])
    dropped = 0
    pairs = {name: _pair(images / name, masks / name, drop_unlabelled) for name in videos}
    total = sum(len(frames) for frames, _ in pairs.values())

    def labelled():
        for name, (frames, _) in pairs.items():
            for number, (image, png) in enumerate(frames):
                yield name, number, image, png

    tracks = {name: {} for name in videos}
    sizes, grey = {}, {name: Counter() for name in videos}
    for name, number, _, png in progress(labelled(), 'masks', total):
        values, is_grey = _read_png(png)
        size = sizes.setdefault(name, values.shape)
        if values.shape != size:
            raise InputError(
                f'{png}: is {values.shape[1]}x{values.shape[0]} (width x height), the PNGs before '
                f'are {size[1]}x{size[0]}; all frames of a video must be of one size'
            )
        found = np.unique(values)
        if is_grey and not binary:
            grey[name].update(found.tolist())
        if binary:
            values, found = (values != 0).astype(np.uint8), np.unique(values != 0)
        for value in found.tolist():
            if value == 0 or (value == void and values.dtype == np.uint8 and not binary):
                continue
            label = classes.of(name, int(value))
            if label is None:
                raise InputError(
                    f'{png}: object {value} of video {name!r} has no class; add it to --classes'
                )
            track = tracks[name].setdefault(value, AnnotatedTrack(category_ids[label]))
            track.masks[number] = mask_utils.encode(np.asfortranarray(values == value, np.uint8))
    for name, (frames, without) in pairs.items():
        if VOID in grey[name] and set(grey[name]) <= {0, VOID} and void == VOID:
            raise InputError(
                f'{masks / name}: its PNGs are grey with the values 0 and 255 only, and 255 is '
                'void in DAVIS; if it is one object give --binary'
            )
        dropped += without
        annotations.videos.append(
            AnnotatedVideo(
                name,
                sizes[name],
                ImageFrames([image for image, _ in frames]),
                [track for _, track in sorted(tracks[name].items())],
            )
        )
    if dropped:
        annotations.notes.append(f'{dropped} images without a PNG were left out')
    return annotations


def folder_of_videos(folder: Path) -> Path:
    """DAVIS has a folder for the resolution between: ``JPEGImages/480p/VIDEO``.

    Args:
        folder: ``JPEGImages`` or ``Annotations``.

    Returns:
        The folder that holds those of the videos: ``folder``, or the only one in it.

    Raises:
        InputError: There are several such folders between.
    """
    if not folder.is_dir():
        return folder  # reported when it is read
    below = [path for path in folder.iterdir() if path.is_dir()]
    deeper = [
        path for path in below if not images_in(path) and any(map(Path.is_dir, path.iterdir()))
    ]
    if not deeper or len(deeper) < len(below):
        return folder
    if len(deeper) > 1:
        raise InputError(
            f'{folder}: has {", ".join(sorted(path.name for path in deeper))}; choose one with '
            '--images and --masks'
        )
    return deeper[0]


def _pair(
    image_folder: Path, mask_folder: Path, drop_unlabelled: bool
) -> tuple[list[tuple[Path, Path]], int]:
    """Image and PNG of each frame of a video, and how many images have no PNG."""
    for folder in (image_folder, mask_folder):
        if not folder.is_dir():
            raise InputError(f'{folder}: the folder of the video is missing; put it there')
    images = {path.stem: path for path in images_in(image_folder)}
    pngs = {path.stem: path for path in images_in(mask_folder) if path.suffix.lower() == '.png'}
    alone = [path for stem, path in pngs.items() if stem not in images]
    if alone:
        raise InputError(f'{alone[0]}: there is no image of this name in {image_folder}; add it')
    without = [path for stem, path in images.items() if stem not in pngs]
    if not pngs:
        raise InputError(f'{mask_folder}: has no PNG; put the masks there, one a frame')
    if without and not drop_unlabelled:
        raise InputError(
            f'{without[0]}: has no mask {mask_folder / without[0].stem}.png ({len(without)} images '
            'have none); add it, an empty one if nothing is seen, or leave such images out with '
            '--drop-unlabelled'
        )
    return [(images[stem], pngs[stem]) for stem in images if stem in pngs], len(without)


def _read_png(path: Path) -> tuple[np.ndarray, bool]:
    """Its values (h, w), uint8 or wider, and whether it is grey rather than with a palette."""
    try:
        with Image.open(path) as image:
            mode = image.mode
            if mode in ('P', 'L'):
                return np.asarray(image), mode == 'L'
            if mode == '1':
                return np.asarray(image).astype(np.uint8), False
            if mode.startswith('I'):
                return np.asarray(image).astype(np.int32), False
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(
            f'{path}: cannot be decoded ({" ".join(str(error).split())}); replace the file'
        ) from error
    raise InputError(
        f'{path}: is a colour image ({mode}), so no pixel has a number; save it as an indexed PNG, '
        'in which the value of a pixel is the number of its object'
    )
