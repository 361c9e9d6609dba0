"""What ``mmvis-cl track-all --out-coco`` wrote, as annotations: pseudo-labels to train on."""

import os
from pathlib import Path

from mmvis_cl.datasets.annotation_file import load_annotations
from mmvis_cl.errors import InputError
from mmvis_cl.json_file import read_json

from .coco_video import read_coco_video
from .own_videos import Annotations


def read_tracked_folder(
    folder: Path,
    frames: Path | None = None,
    annotations: Path | None = None,
    min_score: float = 0.0,
) -> Annotations:
    """Read the results of many videos. Those that failed, and those without objects, are left out.

    Args:
        folder: That ``track-all`` wrote.
        frames: Folder in which the videos lie by their ids, if not where they were.
        annotations: The annotation file that was the source, which names the frames of its videos;
            they start from where they were, or from ``frames``.
        min_score: Tracks whose mean score is less are left out.

    Raises:
        InputError: There are no such results, they are of several models with other classes, or a
            video is not where it was.
    """
    file_names = {}
    if annotations is not None:
        for video in load_annotations(annotations, need_tracks=False)['videos']:
            file_names[str(video['id'])] = video.get('file_names')
    joined = Annotations([], [])
    counts = dict(failed=0, empty=0)
    for path in sorted(folder.glob('videos/*/record.json')):
        record = read_json(path)
        if not isinstance(record, dict) or not isinstance(record.get('id'), str):
            raise InputError(f'{path}: is no record of a video; remove its folder')
        coco = path.with_name('coco.json')
        if not os.path.exists(coco):
            counts['failed'] += 1
            continue
        source = Path(str(record.get('source')))
        names = file_names.get(record['id'])
        if frames is not None:
            source = frames if names else frames / record['id']
        if not os.path.exists(source):
            raise InputError(
                f'{source}: the video is not there (any more); copy it there, or say by --frames '
                'in which folder the videos lie'
            )
        found = read_coco_video(coco, source, min_score=min_score, files=names)
        if joined.categories and found.categories != joined.categories:
            raise InputError(
                f'{coco}: has other classes than the videos before; track all by one model'
            )
        joined.categories = found.categories
        for video in found.videos:
            video.name = record['id']
            counts['empty'] += not video.tracks
            joined.videos += [video] if video.tracks else []
    if not joined.categories:
        raise InputError(
            f'{folder}: has no videos/NAME/coco.json; give a folder that mmvis-cl track-all wrote '
            'with --out-coco'
        )
    if counts['failed']:
        joined.notes.append(f'{counts["failed"]} videos have no coco.json: they failed')
    if counts['empty']:
        joined.notes.append(f'{counts["empty"]} videos without an object were left out')
    return joined
