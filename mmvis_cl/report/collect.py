"""What a page shows of a video and of results, as plain JSON."""

import base64
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmvis_cl.datasets.image_files import read_image
from mmvis_cl.errors import InputError
from mmvis_cl.evaluation.error_analysis import analyse_errors, video_name
from mmvis_cl.evaluation.error_kinds import shared_pixels
from mmvis_cl.evaluation.identity_events import identity_events, object_of_identity
from mmvis_cl.evaluation.result_file import check_results_alone, load_results
from mmvis_cl.evaluation.track_ap import CheckedTracks, checked_tracks
from mmvis_cl.evaluation.track_matching import TrackMasks
from mmvis_cl.visualization.draw_tracks import identity_colors

JPEG_QUALITY = 72
TRUTH = 'ground truth'


def read_tracks(results: str, annotations: str | None) -> CheckedTracks:
    """Results with annotations, or alone.

    Without annotations a video is what its results say of it, and nothing is annotated.

    Raises:
        InputError: A file is missing or broken, or they do not fit.
    """
    if annotations is not None:
        return checked_tracks(results, annotations)
    loaded = check_results_alone(load_results(results), results)
    videos: dict[Any, dict] = {}
    categories: dict[Any, str] = {}
    predicted: list[dict] = []
    of_masks: dict[Any, TrackMasks] = {}
    for track in loaded:
        sizes = [rle['size'] for rle in track['segmentations'] if rle]
        video = videos.setdefault(
            track['video_id'],
            dict(id=track['video_id'], length=len(track['segmentations']), height=0, width=0),
        )
        if sizes:
            video['height'], video['width'] = sizes[0]
        name = str(track.get('category', track['category_id']))
        categories.setdefault(track['category_id'], name)
        key = track['video_id'], tuple(rle and rle['counts'] for rle in track['segmentations'])
        masks = of_masks.setdefault(key, TrackMasks(track['segmentations']))
        predicted.append(dict(track, masks=masks))
    return CheckedTracks({}, results, videos, categories, [], predicted)


def scores_of(name: str, results: str, annotations: str, score_thr: float) -> dict[str, Any]:
    """The figures of a result: AP, what each kind of error costs, the worst videos."""
    found = analyse_errors(results, annotations, score_thr=score_thr)
    return dict(
        name=name,
        scores={k: v for k, v in found['scores'].items() if isinstance(v, float)},
        classes={k: v['AP'] for k, v in found['scores']['per_class'].items() if v['AP'] >= 0},
        losses=found['losses'],
        identities=found['identities']['by_unseen'],
        videos={str(row['video_id']): row['loss'] for row in found['videos']},
    )


def video_page(
    video_id: Any,
    tracks: dict[str, CheckedTracks],
    images: Path | None,
    height: int,
    score_thr: float,
) -> dict[str, Any]:
    """All that a page shows of a video.

    Args:
        video_id: Of the video.
        tracks: Of each result by its name.
        images: Folder of the frames; without it they are grey.
        height: Of the frames in the page, in pixels.
        score_thr: Results with a lower score are left out.

    Raises:
        InputError: A frame is missing or broken.
    """
    first = next(iter(tracks.values()))
    video = next(t.videos[video_id] for t in tracks.values() if video_id in t.videos)
    objects = [
        track
        for track in first.annotated
        if track['video_id'] == video_id and not track['iscrowd'] and track['masks'].areas.any()
    ]
    masks = [track['masks'] for track in objects]
    length = video.get('length') or len(video.get('file_names', ()))
    sets = []
    if objects:
        truth = [
            _identity(i, [first.categories[track['category_id']]], None, i, track['masks'])
            for i, track in enumerate(objects)
        ]
        sets.append(dict(name=TRUTH, identities=truth, switches=[], misses=[]))
    for name, of_result in tracks.items():
        sets.append(_set(name, of_result, video_id, masks, length, score_thr))
    return dict(
        id=video_id,
        name=video_name(video),
        width=video['width'],
        height=video['height'],
        length=length,
        frames=_frames(video, images, height),
        sets=sets,
    )


def _set(
    name: str,
    tracks: CheckedTracks,
    video_id: Any,
    objects: list[TrackMasks],
    length: int,
    score_thr: float,
) -> dict[str, Any]:
    """The identities of a result; what differs in its class alone is one."""
    of_masks: dict[int, list[dict]] = {}
    for track in tracks.predicted:
        if track['video_id'] == video_id and track['score'] >= score_thr:
            of_masks.setdefault(id(track['masks']), []).append(track)
    found = [
        sorted(same, key=lambda track: -track['score'])
        for same in of_masks.values()
        if same[0]['masks'].areas.any()
    ]
    found.sort(key=lambda same: int(np.flatnonzero(same[0]['masks'].areas)[0]))
    masks = [same[0]['masks'] for same in found]
    colours: list[int | None] = list(range(len(found)))
    switches, misses = [], []
    if objects:
        iou = np.zeros((len(masks), len(objects), length))
        if masks:
            shared = shared_pixels(masks, objects)
            total = np.stack([m.areas for m in masks])[:, None] + [m.areas for m in objects]
            iou = shared / np.maximum(total - shared, 1)
        colours = object_of_identity(iou)
        seen, there = (
            np.array([m.areas > 0 for m in group], bool).reshape(len(group), length)
            for group in (masks, objects)
        )
        for frame, events in enumerate(identity_events(iou, seen, there)):
            switches += [[frame, obj, before, now] for obj, before, now in events.switches]
            misses += [[frame, obj] for obj in events.misses]
    identities = [
        _identity(
            number,
            [tracks.categories[track['category_id']] for track in same],
            same[0]['score'],
            colour,
            same[0]['masks'],
        )
        for number, (same, colour) in enumerate(zip(found, colours, strict=True))
    ]
    return dict(name=name, identities=identities, switches=switches, misses=misses)


def _identity(
    number: int, classes: list[str], score: float | None, colour: int | None, masks: TrackMasks
) -> dict[str, Any]:
    rgb = [140, 140, 140] if colour is None else identity_colors([colour])[0].tolist()
    return dict(
        id=number,
        classes=list(dict.fromkeys(classes)),
        score=score,
        colour='#{:02x}{:02x}{:02x}'.format(*rgb),
        # COCO's compressed RLE, which the page decodes; 0 where it is not seen
        masks=[
            0 if rle is None or not area else _text(rle['counts'])
            for rle, area in zip(masks.rles, masks.areas.tolist(), strict=True)
        ],
    )


def _text(counts: str | bytes) -> str:
    return counts.decode() if isinstance(counts, bytes) else counts


def _frames(video: dict, images: Path | None, height: int) -> list[str] | None:
    """The frames as data: URIs."""
    if images is None:
        return None
    names = video.get('file_names')
    if not names:
        raise InputError(
            f'video {video["id"]!r}: its annotations name no frames; leave out --images'
        )
    frames = []
    for name in names:
        image = read_image(os.path.join(images, name))
        scale = min(1.0, height / image.shape[0])
        size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        encoded = cv2.imencode('.jpg', small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        data = base64.b64encode(encoded[1].tobytes()).decode()
        frames.append(f'data:image/jpeg;base64,{data}')
    return frames
