"""Moving shapes: a small synthetic video instance segmentation data set, made from a seed.

Textured shapes move over textured backgrounds, turn, grow, hide one another, leave the picture and
come back. A class is a silhouette with a kind of texture; objects of one class differ in colour and
in the measure of their texture, which is what an embedding has to learn. The data is written in the
format of YouTube-VIS.
"""

import json
import os
import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as mask_utils

from mmvis_cl.errors import InputError, cannot_write
from mmvis_cl.files import check_room, whole_file

from .shape_scene import AROUND_A_GAP, CLASSES, GAPS, render_video

SPLITS = ('train', 'valid')

MAX_VIDEO_PIXELS = 1 << 27  # of all frames together; some 40 bytes of memory for each
BYTES_A_PIXEL = 0.3  # of the JPEGs, rounded down
# Raised whenever the same parameters give other pictures, so that old data is not taken for new.
GENERATOR_VERSION = 1


def make_moving_shapes(
    out_dir: str | os.PathLike,
    seed: int = 0,
    train_videos: int = 240,
    valid_videos: int = 16,
    length: int = 16,
    size: tuple[int, int] = (160, 96),
    force: bool = False,
    long_gaps: bool = False,
) -> bool:
    """Write a training and a validation set of moving shapes.

    The folder gets ``train.json``, ``valid.json``, ``JPEGImages/VIDEO/00000.jpg`` and ``meta.json``
    (the parameters). Validation uses other random numbers, and other combinations of colour and
    texture, than training. The data is the same for the same arguments. It is written to a
    temporary folder that is renamed at the end, so a folder that exists is complete.

    Args:
        out_dir: The folder to make.
        seed: Not negative; one seed, one data set.
        train_videos: Number of training videos, 1 or more.
        valid_videos: Number of validation videos, 1 or more.
        length: Frames in each video, 2 or more.
        size: Width and height in pixels, each 64 or more.
        force: Replace a folder that holds moving shapes made with other parameters, or the same.
        long_gaps: Whether objects that look alike are away for long, see :func:`.render_video`;
            ``length`` is then 15 or more.

    Returns:
        Whether anything was written; False if ``out_dir`` had this very data already.

    Raises:
        InputError: If a number is out of its range, a video does not fit into memory, or
            ``out_dir`` is in use for something else or cannot be written.
    """
    for name, number, least in (
        ('seed', seed, 0),
        ('train_videos', train_videos, 1),
        ('valid_videos', valid_videos, 1),
        ('length', length, GAPS[0] + 2 * AROUND_A_GAP if long_gaps else 2),
        ('width', size[0], 64),
        ('height', size[1], 64),
    ):
        if number < least:
            raise InputError(f'moving shapes: {name} is {number}; give {least} or more')
    if length * size[0] * size[1] > MAX_VIDEO_PIXELS:
        raise InputError(
            f'moving shapes: {length} frames of {size[0]}x{size[1]} are more than '
            f'{MAX_VIDEO_PIXELS} pixels, and a video is made in memory; give a smaller --length or '
            '--size'
        )

    out_dir = Path(out_dir)
    meta = dict(
        generator='moving_shapes',
        version=GENERATOR_VERSION,
        seed=seed,
        train_videos=train_videos,
        valid_videos=valid_videos,
        length=length,
        size=list(size),
    )
    if long_gaps:
        meta['long_gaps'] = True
    try:
        if os.path.exists(out_dir) and (not os.path.isdir(out_dir) or any(out_dir.iterdir())):
            found = _read_meta(out_dir)
            if found is None:
                raise InputError(
                    f'{out_dir}: holds something else than moving shapes; choose another folder'
                )
            if found == meta and not force:
                return False
            if not force:
                raise InputError(
                    f'{out_dir}: holds moving shapes made with other parameters '
                    f'({out_dir / "meta.json"}); choose another folder, or replace it with --force'
                )
        pixels = (train_videos + valid_videos) * length * size[0] * size[1]
        check_room(out_dir, int(pixels * BYTES_A_PIXEL), 'the videos')
        out_dir.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix='.unfinished-', dir=out_dir.parent))
    except OSError as error:
        raise cannot_write(out_dir, error) from error
    try:
        for split, num_videos in zip(SPLITS, (train_videos, valid_videos), strict=True):
            _write_split(unfinished, split, num_videos, meta)
        with whole_file(unfinished / 'meta.json') as file:
            file.write(json.dumps(meta, indent=2) + '\n')
        unfinished.chmod(0o755)  # mkdtemp makes it readable to its owner only
        if os.path.exists(out_dir):
            shutil.rmtree(out_dir)
        unfinished.rename(out_dir)
    except InputError as error:
        raise InputError(str(error).replace(str(unfinished), str(out_dir))) from error
    except OSError as error:
        raise cannot_write(out_dir, error) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return True


def _read_meta(folder: Path) -> dict | None:
    try:
        meta = json.loads((folder / 'meta.json').read_text())
    except (OSError, ValueError):
        return None
    return meta if isinstance(meta, dict) and meta.get('generator') == 'moving_shapes' else None


def _write_split(root: Path, split: str, num_videos: int, meta: dict) -> None:
    seed, length, size = meta['seed'], meta['length'], tuple(meta['size'])
    width, height = size
    videos, annotations = [], []
    for index in range(num_videos):
        # A generator for each video: the first ten videos are the same however many follow.
        rng = np.random.default_rng([seed, SPLITS.index(split), index])
        frames, masks, labels = render_video(rng, length, size, split, meta.get('long_gaps', False))
        name = f'{split}_{index:04d}'
        (root / 'JPEGImages' / name).mkdir(parents=True)
        file_names = [f'{name}/{frame_id:05d}.jpg' for frame_id in range(length)]
        for file_name, frame in zip(file_names, frames, strict=True):
            path = root / 'JPEGImages' / file_name
            encoded = cv2.imencode('.jpg', frame, [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
            path.write_bytes(encoded.tobytes())
        video = dict(id=index + 1, width=width, height=height, length=length, file_names=file_names)
        videos.append(video)
        for track_masks, label in zip(masks, labels, strict=True):
            track = annotation_of_masks(track_masks)
            track.update(
                id=len(annotations) + 1,
                video_id=video['id'],
                category_id=int(label) + 1,
                iscrowd=0,
                width=width,
                height=height,
                length=length,
            )
            annotations.append(track)
    categories = [
        dict(id=label + 1, name=name, supercategory='shape') for label, name in enumerate(CLASSES)
    ]
    content = dict(
        info=dict(description=f'moving shapes, {split}, seed {seed}'),
        videos=videos,
        annotations=annotations,
        categories=categories,
    )
    with whole_file(root / f'{split}.json') as file:
        file.write(json.dumps(content))


def annotation_of_masks(masks: np.ndarray) -> dict:
    """Segmentations, boxes and areas of a track from its (T, H, W) masks; None where unseen."""
    segmentations, boxes, areas = [], [], []
    for mask, rle in zip(
        masks, mask_utils.encode(np.asfortranarray(masks.transpose(1, 2, 0), np.uint8)), strict=True
    ):
        if not mask.any():
            for values in (segmentations, boxes, areas):
                values.append(None)
            continue
        segmentations.append(dict(size=list(mask.shape), counts=rle['counts'].decode()))
        boxes.append(mask_utils.toBbox(rle).tolist())
        areas.append(int(mask.sum()))
    return dict(segmentations=segmentations, bboxes=boxes, areas=areas)
