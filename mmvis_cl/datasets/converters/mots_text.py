"""Annotations as text: of KITTI-MOTS and MOTS20, a line for each object of each frame."""

import os
from collections.abc import Sequence
from pathlib import Path

from mmvis_cl.datasets.image_files import images_in
from mmvis_cl.datasets.segmentations import to_rle
from mmvis_cl.errors import InputError, shortened
from mmvis_cl.json_file import read_table

from .frame_files import ImageFrames
from .object_classes import MOTSClasses
from .own_videos import AnnotatedTrack, AnnotatedVideo, Annotations, Progress, no_progress


def read_mots_text(
    texts: Path,
    images: Path,
    classes: MOTSClasses | None = None,
    videos: Sequence[str] | None = None,
    progress: Progress = no_progress,
) -> Annotations:
    """Read text files of MOTS: frame, object, class, height, width and compressed RLE in each line.

    The name of an image is the number of its frame, which begins at 0 in KITTI-MOTS and at 1 in
    MOTS20. The object 10000 is the region to be ignored.

    Args:
        texts: Holds ``VIDEO.txt`` for each video; or one such file.
        images: Holds a folder of images for each video, or, as MOTS20, ``VIDEO/img1``.
        classes: Names of the classes 1, 2, and so on; those of KITTI-MOTS if None.
        videos: Names of the videos to take; all of ``texts`` if None.
        progress: Shows how far it is.

    Raises:
        InputError: A file or folder is missing, or a line is broken or does not fit.
    """
    classes = classes or MOTSClasses()
    files = {path.stem: path for path in _files(texts)}
    names = list(files) if videos is None else list(videos)
    missing = [name for name in names if name not in files]
    if missing or not names:
        raise InputError(f'{texts}: has no {missing[0] if missing else "VIDEO"}.txt; correct it')
    category_ids = {name: i for i, name in enumerate(classes.names, 1)}
    annotations = Annotations([], [dict(id=i, name=name) for name, i in category_ids.items()])
    for name in progress(names, 'videos', len(names)):
        folder = images / name
        folder = folder / 'img1' if os.path.isdir(folder / 'img1') else folder
        if not os.path.isdir(folder):
            raise InputError(f'{folder}: the folder of the images is missing; put it there')
        annotations.videos.append(_video(files[name], folder, classes, category_ids))
    return annotations


def _files(texts: Path) -> list[Path]:
    if os.path.isfile(texts):
        return [texts]
    if not os.path.isdir(texts):
        raise InputError(f'{texts}: there is no such file or folder; correct it')
    return sorted(path for path in texts.glob('*.txt') if not path.name.startswith('.'))


def _video(
    file: Path, folder: Path, classes: MOTSClasses, category_ids: dict[str, int]
) -> AnnotatedVideo:
    paths = images_in(folder)
    odd = [path for path in paths if not path.stem.isdecimal()]
    if odd or not paths:
        what = 'is no number of a frame' if odd else 'there is no image in it'
        raise InputError(f'{odd[0] if odd else folder}: {what}; name images 000000.png, ...')
    place_of = {int(path.stem): place for place, path in enumerate(paths)}
    tracks: dict[tuple[int, int], AnnotatedTrack] = {}
    ignored: dict[int, dict] = {}
    size = None
    for number, line in enumerate(read_table(file).splitlines(), 1):
        where = f'{file}:{number}'
        if not line.strip():
            continue
        try:
            frame, instance, label, height, width, counts = line.split()
            frame, instance, label, *of_line = map(int, (frame, instance, label, height, width))
        except ValueError:
            raise InputError(
                f'{where}: {shortened(line, 60)!r} is not "frame object class height width RLE"; '
                'give text files as those of MOTS'
            ) from None
        if frame not in place_of:
            raise InputError(f'{where}: there is no image of frame {frame} in {folder}; add it')
        size = size or tuple(of_line)
        if tuple(of_line) != size:
            raise InputError(
                f'{where}: the size is {of_line[0]}x{of_line[1]}, before it was '
                f'{size[0]}x{size[1]} (height x width); all frames must be of one size'
            )
        rle = to_rle(dict(size=list(size), counts=counts), *size, where)
        place = place_of[frame]
        if instance == classes.ignored:
            masks = ignored
        else:
            if not 1 <= label <= len(classes.names):
                raise InputError(
                    f'{where}: has the class {label}, known are 1 to {len(classes.names)} '
                    f'({", ".join(classes.names)}); give all names with --labels LABELS.txt'
                )
            category_id = category_ids[classes.names[label - 1]]
            masks = tracks.setdefault((label, instance), AnnotatedTrack(category_id)).masks
            if place in masks:
                raise InputError(
                    f'{where}: object {instance} has two masks in frame {frame}; leave one of them'
                )
        masks[place] = rle
    found = [tracks[key] for key in sorted(tracks)]
    if ignored and classes.ignored_as_crowd:
        found += [AnnotatedTrack(i, ignored, crowd=True) for i in category_ids.values()]
    frames = ImageFrames(paths)
    return AnnotatedVideo(file.stem, frames.check_size(size), frames, found)
