"""A video of a few rectangles."""

import numpy as np
from pycocotools import mask as mask_utils

from mmvis_cl.evaluation.track_ap import checked_tracks


def rectangle(left, width=20):
    mask = np.zeros((60, 100), np.uint8, order='F')
    mask[10:40, left : left + width] = 1
    rle = mask_utils.encode(mask)
    return dict(rle, counts=rle['counts'].decode())


def small_set(objects, results, crowds=(), length=4):
    """One video of one class; tracks are lists of masks."""
    annotations = [
        dict(id=i, video_id=1, category_id=1, segmentations=masks, iscrowd=int(masks in crowds))
        for i, masks in enumerate([*objects, *crowds], 1)
    ]
    content = dict(
        videos=[dict(id=1, length=length, height=60, width=100)],
        categories=[dict(id=1, name='cat')],
        annotations=annotations,
    )
    found = [
        dict(video_id=1, category_id=1, score=score, segmentations=masks)
        for score, masks in results
    ]
    return checked_tracks(found, content)
