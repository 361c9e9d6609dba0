"""Real objects behind others for long: a test of whether an identity outlasts that.

Videos with masks go forward and backward until they are long enough. In each, one object is hidden
for a time by another one, cut out of another video and large enough, that comes from a side, moves
with it, and goes. What hides is annotated as well. The result is in the format of YouTube-VIS.
"""

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from pycocotools import mask as mask_utils

from mmvis_cl.datasets.annotation_file import load_annotations
from mmvis_cl.datasets.image_files import read_image
from mmvis_cl.datasets.segmentations import masks_of_track
from mmvis_cl.errors import InputError, cannot_write
from mmvis_cl.files import check_empty_folder, whole_file

from .moving_shapes import annotation_of_masks

COMING = 4  # frames in which what hides an object moves in from the side, and out again
# Of the picture's pixels: what hides must have been seen so large, and the object so small.
LEAST_COVER, MOST_HIDDEN = 0.02, 0.12
LARGEST_COVER = 1.3  # what hides is at most so many times as wide and as high as the picture
ROUNDING = 3.0  # pixels that the disk which hides is wider than the object
JPEG_QUALITY = 95


class _Cover(NamedTuple):
    """An object cut out: its pixels (h, w, 3) uint8 RGB, its mask (h, w) bool, its class."""

    pixels: np.ndarray
    mask: np.ndarray
    category_id: int


def hide_objects(
    annotations: str | os.PathLike,
    images: str | os.PathLike,
    out: str | os.PathLike,
    gap: tuple[int, int] = (12, 40),
    length: int = 72,
    seed: int = 0,
) -> int:
    """Write videos in which an object each is hidden for long.

    Args:
        annotations: In the format of YouTube-VIS, with masks.
        images: Folder of its images.
        out: Folder for ``valid.json`` and ``JPEGImages``; new or empty.
        gap: Fewest and most frames in which the object is hidden, drawn for each video.
        length: Frames of each video.
        seed: Of the random numbers; one seed, one data set.

    Returns:
        How many videos were written. Those without an object that is small enough and seen for long
        enough are left out.

    Raises:
        InputError: A number is out of range, annotations or images are broken, ``out`` is in use,
            or no object of any video can be hidden.
    """
    if not 1 <= gap[0] <= gap[1]:
        raise InputError(f'a gap of {gap[0]} to {gap[1]} frames; give two rising numbers from 1 on')
    if length < gap[1] + 4 * COMING:
        raise InputError(
            f'a video of {length} frames is too short for an object hidden for {gap[1]}; give '
            f'{gap[1] + 4 * COMING} frames or more'
        )
    content = load_annotations(annotations)
    out = Path(out)
    check_empty_folder(out)
    tracks = _tracks_of_videos(content, str(annotations))
    covers = _covers(content['videos'], tracks, Path(images))
    videos, written = [], []
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix='.unfinished-', dir=out.parent))
    except OSError as error:
        raise cannot_write(out, error) from error
    try:
        for number, video in enumerate(content['videos']):
            # of each video, so that it is the same however many there are
            rng = np.random.default_rng([seed, number])
            others = [cover for at, cover in covers if at != video['id']]
            plan = _plan(video, tracks[video['id']], others, gap, length, rng)
            if plan is None:
                continue
            name = f'{len(videos):04d}'
            masks, labels = _write_frames(unfinished, name, video, images, plan)
            size = dict(width=video['width'], height=video['height'], length=length)
            file_names = [f'{name}/{t:05d}.jpg' for t in range(length)]
            videos.append(dict(id=len(videos) + 1, file_names=file_names, **size))
            for of_track, label in zip(masks, labels, strict=True):
                if of_track.any():
                    ids = dict(id=len(written) + 1, video_id=len(videos), category_id=label)
                    written.append(annotation_of_masks(of_track) | ids | dict(iscrowd=0, **size))
        if not videos:
            raise InputError(
                f'{annotations}: no video has an object that is small enough (at most '
                f'{MOST_HIDDEN:.0%} of the picture) and another video one to hide it; give others'
            )
        result = dict(videos=videos, annotations=written, categories=content['categories'])
        with whole_file(unfinished / 'valid.json') as file:
            file.write(json.dumps(result))
        unfinished.chmod(0o755)  # mkdtemp makes it readable to its owner only
        out.rmdir()
        unfinished.rename(out)
    except OSError as error:
        raise cannot_write(out, error) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return len(videos)


def _tracks_of_videos(content: dict, name: str) -> dict:
    """Of each video's id its tracks as (category id, list of RLE or None)."""
    size = {video['id']: (video['height'], video['width']) for video in content['videos']}
    tracks: dict = {video_id: [] for video_id in size}
    for number, track in enumerate(content['annotations']):
        where = f'{name}, annotation {number}'
        rles = masks_of_track(track['segmentations'], *size[track['video_id']], where)
        tracks[track['video_id']].append((track['category_id'], rles))
    return tracks


def _covers(videos: list[dict], tracks: dict, images: Path) -> list[tuple[object, _Cover]]:
    """Of each track, with the id of its video, its largest view, where that is large enough."""
    found = []
    for video in videos:
        for category_id, rles in tracks[video['id']]:
            areas = [0 if rle is None else int(mask_utils.area(rle)) for rle in rles]
            t = int(np.argmax(areas))
            if areas[t] < LEAST_COVER * video['width'] * video['height']:
                continue
            x, y, w, h = (round(side) for side in mask_utils.toBbox(rles[t]).tolist())
            part = slice(y, y + h), slice(x, x + w)
            mask = mask_utils.decode(rles[t])[part].astype(bool)
            pixels = read_image(images / video['file_names'][t])[part]
            found.append((video['id'], _Cover(pixels, mask, category_id)))
    return found


class _Plan(NamedTuple):
    """What happens in a video: which of its frames are shown, who is hidden, when and by whom."""

    order: list[int]
    tracks: list[tuple[int, list]]
    hidden: int
    start: int
    gap: int
    cover: _Cover
    side: int  # from the left, -1, or from the right, 1


def _plan(
    video: dict,
    tracks: list[tuple[int, list]],
    covers: list[_Cover],
    gap: tuple[int, int],
    length: int,
    rng: np.random.Generator,
) -> _Plan | None:
    """Draw what happens; None if nobody can be hidden."""
    frames = len(video['file_names'])
    forth_and_back = [*range(frames), *range(frames - 2, 0, -1)]
    order = [forth_and_back[t % len(forth_and_back)] for t in range(length)]
    most = MOST_HIDDEN * video['width'] * video['height']
    most_size = LARGEST_COVER * np.array([video['height'], video['width']])
    small = [
        number
        for number, (_, rles) in enumerate(tracks)
        if all(rle is not None and 0 < mask_utils.area(rle) <= most for rle in rles)
    ]
    if not small:
        return None
    hidden = int(rng.choice(small))
    views = [mask_utils.decode(rle) for rle in tracks[hidden][1]]
    fitting = [
        cover
        for cover in covers
        if (np.array(_large_enough(cover, views)[0].mask.shape) <= most_size).all()
    ]
    if not fitting:
        return None
    frames_hidden = int(rng.integers(gap[0], gap[1], endpoint=True))
    return _Plan(
        order,
        tracks,
        hidden=hidden,
        start=int(rng.integers(2 * COMING, length - frames_hidden - 2 * COMING, endpoint=True)),
        gap=frames_hidden,
        cover=fitting[int(rng.integers(len(fitting)))],
        side=int(rng.choice([-1, 1])),
    )


def _write_frames(
    root: Path, name: str, video: dict, images: str | os.PathLike, plan: _Plan
) -> tuple[np.ndarray, list[int]]:
    """Write a video's frames; give masks (n, T, H, W) bool and category ids of all objects."""
    height, width = video['height'], video['width']
    shown = [
        [None if rles[t] is None else mask_utils.decode(rles[t]).astype(bool) for t in plan.order]
        for _, rles in plan.tracks
    ]
    cover, middle = _large_enough(plan.cover, shown[plan.hidden])
    masks = np.zeros((len(plan.tracks) + 1, len(plan.order), height, width), bool)
    kept = {t: read_image(Path(images) / video['file_names'][t]) for t in set(plan.order)}
    (root / 'JPEGImages' / name).mkdir(parents=True)
    for t, source in enumerate(plan.order):
        frame = kept[source].copy()
        for track, of_track in enumerate(shown):
            if of_track[t] is not None:
                masks[track, t] = of_track[t]
        since, until = t - plan.start, plan.start + plan.gap - 1 - t
        if min(since, until) > -COMING:
            outside = max(-since, -until, 0) / COMING  # 0: on the object, 1: beyond the side
            rows, columns = np.nonzero(shown[plan.hidden][t])
            corner = np.array([columns.mean(), rows.mean()]) - middle
            corner[0] += outside * plan.side * (width + cover.mask.shape[1])
            on = _pasted(frame, cover, corner)
            masks[:-1, t] &= ~on
            masks[-1, t] = on
        path = root / 'JPEGImages' / name / f'{t:05d}.jpg'
        encoded = cv2.imencode('.jpg', frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        path.write_bytes(encoded[1].tobytes())
    return masks, [*(label for label, _ in plan.tracks), plan.cover.category_id]


def _large_enough(cover: _Cover, hidden: list[np.ndarray]) -> tuple[_Cover, np.ndarray]:
    """The cover at the size at which it hides the object in each frame, and the place that does.

    The place, x and y, is the middle of the largest disk in it; the object lies within that disk.
    """
    reach = 0.0
    for mask in hidden:
        rows, columns = np.nonzero(mask)
        reach = max(reach, np.hypot(rows - rows.mean(), columns - columns.mean()).max())
    inside = cv2.distanceTransform(np.pad(cover.mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[
        1:-1, 1:-1
    ]
    scale = (reach + ROUNDING) / inside.max()
    row, column = np.unravel_index(inside.argmax(), inside.shape)
    h, w = cover.mask.shape
    size = max(round(w * scale), 1), max(round(h * scale), 1)
    resized = _Cover(
        cv2.resize(cover.pixels, size, interpolation=cv2.INTER_LINEAR),
        cv2.resize(cover.mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0,
        cover.category_id,
    )
    return resized, np.array([(column + 0.5) * size[0] / w, (row + 0.5) * size[1] / h])


def _pasted(frame: np.ndarray, cover: _Cover, corner: np.ndarray) -> np.ndarray:
    """Draw the cover into a frame; its visible mask (H, W) bool."""
    h, w = cover.mask.shape
    left, top = np.rint(corner).astype(int)
    height, width = frame.shape[:2]
    on = np.zeros((height, width), bool)
    rows = slice(max(top, 0), min(top + h, height))
    columns = slice(max(left, 0), min(left + w, width))
    if rows.start < rows.stop and columns.start < columns.stop:
        part = (
            slice(rows.start - top, rows.stop - top),
            slice(columns.start - left, columns.stop - left),
        )
        on[rows, columns] = cover.mask[part]
        frame[on] = cover.pixels[part][cover.mask[part]]
    return on
