"""Random annotations and results, with ties of scores and of masks."""

import numpy as np
from pycocotools import mask as mask_utils

# Large enough for objects of all three ranges of areas, which begin at 128^2 and 256^2.
HEIGHT, WIDTH = 300, 340
CLASSES = [dict(id=3 * k + 2, name=f'class {k}') for k in range(5)]


def random_masks(rng, around=None, length=5):
    """Rectangles near ``around`` (top, left, height, width), some unseen."""
    masks = []
    for _ in range(length):
        if rng.random() < 0.2:
            masks.append(None)
            continue
        top, left, height, width = around + rng.integers(-3, 4, 4)
        dense = np.zeros((HEIGHT, WIDTH), np.uint8, order='F')
        dense[max(top, 0) : top + height, max(left, 0) : left + width] = 1
        rle = mask_utils.encode(dense)
        masks.append(dict(size=[HEIGHT, WIDTH], counts=rle['counts'].decode()))
    return masks


def random_set(seed, videos=4, objects=6, results=14, crowds=0.0):
    """Objects in three of five classes and a last video without results.

    Scores have one digit, so there are ties; some results have the masks of an object, which are
    ties of the IoU, and some objects of a class have equal masks.
    """
    rng = np.random.default_rng(seed)
    sides = np.array([[20, 30], [100, 200], [180, 160], [260, 280]])
    annotations, found = [], []
    for video_id in (10 + np.arange(videos)).tolist():
        shapes = []
        for _ in range(objects):
            shape = np.array([*rng.integers(0, 40, 2), *sides[rng.integers(4)]])
            shapes.append((shape, random_masks(rng, shape)))
            if rng.random() < 0.2:
                shapes.append(shapes[-1])
        for _, masks in shapes:
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    video_id=video_id,
                    category_id=int(2 + 3 * rng.integers(3)),
                    segmentations=masks,
                    areas=[mask and int(mask_utils.area(mask)) for mask in masks],
                    iscrowd=int(rng.random() < crowds),
                )
            )
        for _ in range(results if video_id < 9 + videos else 0):
            shape, masks = shapes[rng.integers(len(shapes))]
            if rng.random() < 0.6:
                masks = random_masks(rng, shape)
            if rng.random() < 0.1:
                masks = [None] * len(masks)
            found += [
                dict(
                    video_id=video_id,
                    category_id=int(2 + 3 * category),
                    score=round(float(rng.random()), 1),
                    segmentations=masks,
                )
                for category in rng.permutation([0, 0, 1, 2, 3])[: rng.integers(1, 4)]
            ]
    order = rng.permutation(len(found))
    return dict(
        videos=[
            dict(id=10 + i, height=HEIGHT, width=WIDTH, length=5)
            for i in rng.permutation(videos).tolist()
        ],
        categories=CLASSES,
        annotations=annotations,
    ), [found[i] for i in order]
