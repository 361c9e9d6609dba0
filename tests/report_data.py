"""Two videos, annotations, a good and a bad result, for the tests of reports."""

import json

import cv2
import numpy as np
from pycocotools import mask as mask_util

SIZE, LENGTH = (24, 40), 6
EVIL = '</script><img src=x onerror="alert(1)"> & <!-- &amp;'


def square(left, top=4, side=8):
    mask = np.zeros(SIZE, np.uint8)
    mask[top : top + side, left : left + side] = 1
    rle = mask_util.encode(np.asfortranarray(mask))
    return dict(size=list(SIZE), counts=rle['counts'].decode())


def write_data(tmp_path):
    """Two videos; in the second result an object changes its identity twice in the first."""
    videos, annotations, good, bad = [], [], [], []
    (tmp_path / 'images').mkdir()
    for video in (1, 2):
        names = [f'v{video}/{t}.png' for t in range(LENGTH)]
        (tmp_path / 'images' / f'v{video}').mkdir()
        for t, name in enumerate(names):
            image = np.full((*SIZE, 3), 20 * t, np.uint8)
            cv2.imwrite(str(tmp_path / 'images' / name), image)
        size = dict(height=SIZE[0], width=SIZE[1], length=LENGTH)
        videos.append(dict(id=video, file_names=names, **size))
        for number, (label, top) in enumerate(((1, 2), (2, 14))):
            masks = [square(2 + 4 * t, top) for t in range(LENGTH)]
            ids = dict(id=len(annotations) + 1, video_id=video, category_id=label, iscrowd=0)
            annotations.append(dict(ids, segmentations=masks, **size))
            found = dict(video_id=video, category_id=label, score=0.9 - 0.1 * number)
            good.append(dict(found, segmentations=masks))
            if video == 1 and number == 0:
                bad.append(dict(found, segmentations=masks[:2] + [None] * 4))
                rest = [None] * 2 + masks[2:4] + [None] * 2, [None] * 4 + masks[4:]
                bad += [dict(found, score=0.5, segmentations=part) for part in rest]
            else:
                bad.append(dict(found, segmentations=masks))
    categories = [dict(id=1, name=EVIL), dict(id=2, name='dog')]
    content = dict(videos=videos, annotations=annotations, categories=categories)
    for name, part in dict(gt=content, good=good, bad=bad).items():
        (tmp_path / f'{name}.json').write_text(json.dumps(part))
    return tmp_path
