"""Annotations as PNGs: of DAVIS and YouTube-VOS, of SAM 2, and of MOTS."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pycocotools import mask as mask_utils

from mmvis_cl.datasets.image_files import check_image_path, open_image
from mmvis_cl.errors import InputError

from .frame_files import ImageFrames, folders_in, images_in
from .object_classes import MOTS_FACTOR, MOTSClasses, ObjectClasses
from .own_videos import AnnotatedTrack, AnnotatedVideo, Annotations, Progress, no_progress

VOID = 255


@dataclass
class _Frame:
    """An image with its masks.

    Attributes:
        image: Of the frame.
        pngs: The PNG of each object; that of all objects at None.
    """

    image: Path
    pngs: dict[int | None, Path]


def read_mask_pngs(
    images: Path,
    masks: Path,
    classes: ObjectClasses | MOTSClasses | None = None,
    videos: Sequence[str] | None = None,
    binary: bool = False,
    void: int | None = VOID,
    drop_unlabelled: bool = False,
    progress: Progress = no_progress,
) -> Annotations:
    """Read masks in which the value of a pixel is the number of its object, 0 for background.

    Or, where a video has a folder for each object: masks in which every value but 0 is the object,
    whose number is the name of the folder (if a name is no number: 1 for the first, and so on). An
    object that has no PNG for a frame is not seen in it if another object has one.

    Args:
        images: Holds a folder of images for each video; or the images of one video.
        masks: Holds a folder of PNGs, or of such folders, for each video, with the names of the
            images; or the PNGs of one video.
        classes: Of the objects; all are of the class 'object' if None.
        videos: Names of the videos to take; all of ``masks`` if None.
        binary: Every value but 0 is the one object of the video.
        void: The value in 8-bit PNGs that belongs to nothing; it becomes background. None if that
            value is an object's as well.
        drop_unlabelled: Leave out images that have no PNG.
        progress: Shows how far it is.

    Raises:
        InputError: A folder, image, PNG or class is missing or broken, or does not fit; or all
            values are as in MOTS and ``classes`` does not say what they mean.
    """
    classes = classes or ObjectClasses()
    for folder in (images, masks):
        if not os.path.isdir(folder):
            raise InputError(f'{folder}: there is no such folder; correct --images or --masks')
    places = {name: name for name in videos or ()}
    if videos is None:
        places = {folder.name: folder.name for folder in folders_in(masks)}
        if not places and _pngs_in(masks):
            places = {masks.resolve().parent.name: '.'}
    if not places:
        raise InputError(f'{masks}: has no folder of PNGs for a video; correct --masks')
    for name in places:
        if Path(name).is_absolute() or '..' in Path(name).parts:
            raise InputError(
                f'{name}: is no name of a folder in {masks}; give names as they are in it'
            )
    frames, dropped = {}, 0
    for name, place in places.items():
        frames[name], without = _frames(images / place, masks / place, drop_unlabelled)
        dropped += without
    category_ids = {name: i for i, name in enumerate(classes.names, 1)}
    annotations = Annotations([], [dict(id=i, name=name) for name, i in category_ids.items()])
    reader = _MaskReader(masks, classes, category_ids, binary, void)

    numbered = ((name, n, frame) for name in frames for n, frame in enumerate(frames[name]))
    for name, number, frame in progress(numbered, 'masks', sum(map(len, frames.values()))):
        reader.add(name, number, frame)
    reader.check_values()
    for name in frames:
        images_of_video = ImageFrames([frame.image for frame in frames[name]])
        size = images_of_video.check_size(reader.sizes[name])
        annotations.videos.append(AnnotatedVideo(name, size, images_of_video, reader.tracks(name)))
    if dropped:
        annotations.notes.append(f'{dropped} images without a PNG were left out')
    annotations.notes += reader.notes()
    return annotations


class _MaskReader:
    """Collects the masks of each video by object."""

    def __init__(
        self,
        folder: Path,
        classes: ObjectClasses | MOTSClasses,
        category_ids: dict[str, int],
        binary: bool,
        void: int | None,
    ) -> None:
        self.folder = folder
        self.classes = classes
        self.category_ids = category_ids
        self.binary = binary
        self.void = void
        self.sizes = {}  # height, width of each video
        self.masks = {}  # {video: {object: {frame: RLE}}}
        self.grey = {}  # {video: values of its grey PNGs}
        self.values = set()  # all but 0, of PNGs in which they are numbers of objects
        self.ignored_frames = 0

    def add(self, video: str, number: int, frame: _Frame) -> None:
        """Reads the PNGs of a frame."""
        of_video = self.masks.setdefault(video, {})
        for folder_object, png in frame.pngs.items():
            values, is_grey = _read_png(png)
            size = self.sizes.setdefault(video, values.shape)
            if values.shape != size:
                raise InputError(
                    f'{png}: is {values.shape[1]}x{values.shape[0]} (width x height), the PNGs '
                    f'before are {size[1]}x{size[0]}; all frames of a video must be of one size'
                )
            found = [value for value in np.unique(values).tolist() if value]
            if folder_object is not None or self.binary:
                if len(found) > 1 and not self.binary:
                    raise InputError(
                        f'{png}: is in the folder of one object and has the values '
                        f'{", ".join(map(str, found[:5]))}; each PNG there must have one besides '
                        '0, or give --binary if every value is the object'
                    )
                if found:
                    key = 1 if folder_object is None else folder_object
                    self._check_class(video, key, png)
                    of_video.setdefault(key, {})[number] = _encode(values != 0)
                continue
            if is_grey:
                self.grey.setdefault(video, Counter()).update(found)
            for value in found:
                if value == self.void and values.dtype == np.uint8:
                    continue
                self.values.add(value)
                if value == self.classes.ignored:
                    self.ignored_frames += 1
                else:
                    self._check_class(video, value, png)
                of_video.setdefault(value, {})[number] = _encode(values == value)

    def tracks(self, video: str) -> list[AnnotatedTrack]:
        """The objects of a video, by their numbers."""
        if self.void == VOID and set(self.grey.get(video, ())) == {VOID}:
            raise InputError(
                f'{self.folder / video}: its PNGs are grey with the values 0 and 255 only, and 255 '
                'is void in DAVIS; if it is one object give --binary'
            )
        tracks = []
        for value, masks in sorted(self.masks[video].items()):
            if value != self.classes.ignored:
                label = self.classes.of(video, value)
                tracks.append(AnnotatedTrack(self.category_ids[label], masks))
            elif self.classes.ignored_as_crowd:  # of every class, as scores are taken by class
                tracks += [AnnotatedTrack(i, masks, crowd=True) for i in self.category_ids.values()]
        return tracks

    def check_values(self) -> None:
        """That the values do not mean more than numbers of objects, where nothing says so."""
        if not self.classes.plain and self.values and min(self.values) >= MOTS_FACTOR:
            some = sorted(self.values)
            shown = ', '.join(map(str, some[:3] + (['...'] if len(some) > 3 else [])))
            raise InputError(
                f'{self.folder}: all values of its PNGs are {MOTS_FACTOR} or more ({shown}), as in '
                'MOTS, where a value is class * 1000 + object and 10000 is to be ignored; give '
                '--mots, or --class-factor 0 if they are no more than numbers of objects'
            )

    def notes(self) -> list[str]:
        """What the user should know of the ignored regions."""
        if not self.ignored_frames:
            return []
        how = (
            'are crowds of all classes, so that scores ignore what is found there'
            if self.classes.ignored_as_crowd
            else 'were left out; as crowds, which scores ignore: --ignore-regions crowd'
        )
        return [f'ignore regions ({self.classes.ignored}) in {self.ignored_frames} frames {how}']

    def _check_class(self, video: str, number: int, png: Path) -> None:
        if self.classes.of(video, number) is None:
            raise InputError(
                f'{png}: object {number} of video {video!r} has no class; {self.classes.cure}'
            )


def folder_of_videos(folder: Path, videos: Sequence[str] = ()) -> Path:
    """DAVIS has a folder for the resolution between: ``JPEGImages/480p/VIDEO``.

    Args:
        folder: ``JPEGImages`` or ``Annotations``.
        videos: Names of videos, if they are known: a folder of such a name in ``folder`` is one,
            even if it holds no images but a folder for each object.

    Returns:
        The folder that holds those of the videos: ``folder``, or the only one in it.

    Raises:
        InputError: There are several such folders between.
    """
    if not os.path.isdir(folder):
        return folder  # reported when it is read
    below = folders_in(folder)
    deeper = [path for path in below if not images_in(path) and folders_in(path)]
    if not deeper or len(deeper) < len(below) or {path.name for path in below} & set(videos):
        return folder
    if len(deeper) > 1:
        raise InputError(
            f'{folder}: has {", ".join(sorted(path.name for path in deeper))}; choose one with '
            '--images and --masks'
        )
    return deeper[0]


def _frames(
    image_folder: Path, mask_folder: Path, drop_unlabelled: bool
) -> tuple[list[_Frame], int]:
    """Image and PNGs of each frame of a video, and how many images have no PNG."""
    for folder in (image_folder, mask_folder):
        if not os.path.isdir(folder):
            raise InputError(f'{folder}: the folder of the video is missing; put it there')
    images = {path.stem: path for path in images_in(image_folder)}
    folders = {None: mask_folder} if _pngs_in(mask_folder) else _object_folders(mask_folder)
    pngs = {}
    for number, folder in folders.items():
        for path in _pngs_in(folder):
            pngs.setdefault(path.stem, {})[number] = path
    alone = [paths for stem, paths in pngs.items() if stem not in images]
    if alone:
        png = next(iter(alone[0].values()))
        raise InputError(f'{png}: there is no image of this name in {image_folder}; add it')
    if not pngs:
        raise InputError(f'{mask_folder}: has no PNG; put the masks there, one a frame')
    without = [path for stem, path in images.items() if stem not in pngs]
    if without and not drop_unlabelled:
        raise InputError(
            f'{without[0]}: has no mask {mask_folder / without[0].stem}.png ({len(without)} images '
            'have none); add it, an empty one if nothing is seen, or leave such images out with '
            '--drop-unlabelled'
        )
    frames = [_Frame(images[stem], pngs[stem]) for stem in images if stem in pngs]
    return frames, len(without)


def _object_folders(folder: Path) -> dict[int, Path]:
    """The folder of each object by its number."""
    folders = folders_in(folder)
    if not all(path.name.isdecimal() and len(path.name) < 10 for path in folders):
        return dict(enumerate(folders, 1))
    numbers = {}
    for path in folders:
        other = numbers.setdefault(int(path.name), path)
        if other != path:
            raise InputError(
                f'{path}: has the same number as {other.name}; give each object another folder'
            )
    return numbers


def _pngs_in(folder: Path) -> list[Path]:
    return [path for path in images_in(folder) if path.suffix.lower() == '.png']


def _encode(mask: np.ndarray) -> dict:
    return mask_utils.encode(np.asfortranarray(mask, np.uint8))


def _read_png(path: Path) -> tuple[np.ndarray, bool]:
    """Its values (h, w), uint8 or wider, and whether it is grey rather than with a palette."""
    try:
        check_image_path(path, str(path))
        with open_image(path, str(path)) as image:
            mode = image.mode
            if mode in ('P', 'L'):
                return np.asarray(image), mode == 'L'
            if mode == '1':
                return np.asarray(image).astype(np.uint8), False
            if mode.startswith('I'):
                return np.asarray(image).astype(np.int32), False
    except InputError:
        raise
    except Exception as error:  # decoders raise anything for a broken file
        raise InputError(
            f'{path}: cannot be decoded ({" ".join(str(error).split())}); replace the file'
        ) from error
    raise InputError(
        f'{path}: is a colour image ({mode}), so no pixel has a number; save it as an indexed PNG, '
        'in which the value of a pixel is the number of its object'
    )
