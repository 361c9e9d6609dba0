"""Result files on their way to :func:`merge_tracks`."""

import math
from collections import defaultdict

from mmvis_cl.errors import InputError

from .track_ap import as_rle


def tracks_by_video(results: list[dict], name: str, annotations: dict) -> dict[int, list[dict]]:
    """Check the tracks of a result file and sort them by video.

    Args:
        results: In the format of a YouTube-VIS submission, see ``load_results``.
        name: Of the file, for errors.
        annotations: With ``videos`` and ``categories``, see ``load_annotations``.

    Returns:
        For each video id that occurs its tracks in their order: ``category_id``, ``score`` and
        ``segmentations``, for each frame compressed RLE of the video's size, or None.

    Raises:
        InputError: A track lacks something or does not fit the annotations.
    """
    videos = {video['id']: video for video in annotations['videos']}
    categories = {category['id'] for category in annotations['categories']}
    tracks = defaultdict(list)
    for index, entry in enumerate(results):
        where = f'{name}: entry {index}'
        lacking = {'video_id', 'category_id', 'score', 'segmentations'} - set(entry)
        if lacking:
            raise InputError(f"{where}: has no '{min(lacking)}'; write the results again")
        video = videos.get(entry['video_id'])
        if video is None:
            raise InputError(
                f'{where}: video_id {entry["video_id"]} is not in the annotations; give the '
                'annotation file of the videos that the results are of'
            )
        where += f' (video {video["id"]})'
        if entry['category_id'] not in categories:
            raise InputError(
                f'{where}: category_id {entry["category_id"]} is not in the annotations; merge '
                'results with the classes of the annotation file'
            )
        score = entry['score']
        if isinstance(score, bool) or not isinstance(score, (int, float)):
            raise InputError(f'{where}: the score is {score!r}, not a number; mend the file')
        if not 0 <= score < math.inf:
            raise InputError(
                f'{where}: the score is {score}; scores must be comparable between the files: '
                'probabilities, 0 to 1'
            )
        tracks[video['id']].append(
            dict(
                category_id=entry['category_id'],
                score=score,
                segmentations=_checked_masks(entry['segmentations'], video, where),
            )
        )
    return tracks


def _checked_masks(segmentations: object, video: dict, where: str) -> list[dict | None]:
    length = video.get('length', len(video.get('file_names', ())))
    if not isinstance(segmentations, list) or len(segmentations) != length:
        found = len(segmentations) if isinstance(segmentations, list) else 'no'
        raise InputError(
            f'{where}: {found} segmentations, but the video has {length} frames; there must be one '
            'for each frame, null where the object is unseen'
        )
    size = [video['height'], video['width']]
    masks = []
    for frame, segmentation in enumerate(segmentations):
        if not segmentation:
            masks.append(None)
            continue
        if isinstance(segmentation, dict):
            if 'counts' not in segmentation or segmentation.get('size') != size:
                raise InputError(
                    f'{where}, frame {frame}: not an RLE of the size {size} (height, width), which '
                    f'the video has (its size is {segmentation.get("size")}); masks must have the '
                    'size of the original frames'
                )
            if isinstance(segmentation['counts'], str):
                masks.append(segmentation)
                continue
        rle = as_rle(segmentation, *size)
        masks.append(dict(size=size, counts=rle['counts'].decode()))
    return masks
