"""A tiny made-up COCO file, whose masks can be read off the pixels of its images."""

import json
from pathlib import Path

import numpy as np
from mmdet.datasets import CocoDataset
from PIL import Image
from pycocotools import mask as mask_utils

HEIGHT, WIDTH = 60, 80
NAMES = CocoDataset.METAINFO['classes']
CAT_IDS = {name: 3 * i + 1 for i, name in enumerate(NAMES)}  # with gaps, as COCO's
OBJECTS = {10: 'person', 20: 'car', 30: 'mouse'}  # grey value: category


def paint(number: int) -> np.ndarray:
    """An image (60, 80) of 0 and, for the objects that are there, 10, 20 and 30.

    Of image 0 and 1: a large L whose box is mostly empty, a square, a single pixel. Image 2 is
    empty. Image 3 has the single pixel only.
    """
    image = np.zeros((HEIGHT, WIDTH), np.uint8)
    if number < 2:
        image[4:56, 4:8] = image[52:56, 4:76] = 10
        image[10:20, 20 + 20 * number : 30 + 20 * number] = 20
    if number != 2:
        image[40, 60] = 30
    return image


def coco_content() -> dict:
    """The annotation file: images 100 to 103; 101 and 102 have a crowd as well."""
    images, annotations = [], []

    def annotate(image_id, name, mask, segmentation=None, iscrowd=0):
        rle = mask_utils.encode(np.asfortranarray(mask.astype(np.uint8)))
        annotations.append(
            dict(
                id=len(annotations) + 1,
                image_id=image_id,
                category_id=CAT_IDS[name],
                bbox=mask_utils.toBbox(rle).tolist(),
                area=int(mask_utils.area(rle)),
                iscrowd=iscrowd,
                segmentation=segmentation
                or dict(size=list(rle['size']), counts=rle['counts'].decode()),
            )
        )

    for number in range(4):
        image_id = 100 + number
        images.append(
            dict(id=image_id, file_name=f'{image_id:012d}.png', height=HEIGHT, width=WIDTH)
        )
        if number in (1, 2):
            everything = np.ones((HEIGHT, WIDTH))
            counts = dict(size=[HEIGHT, WIDTH], counts=[0, HEIGHT * WIDTH])
            annotate(image_id, 'person', everything, counts, iscrowd=1)
        for grey, name in OBJECTS.items():
            mask = paint(number) == grey
            if mask.any():
                x = 20 + 20 * number
                square = [[x, 10, x + 10, 10, x + 10, 20, x, 20]] if grey == 20 else None
                annotate(image_id, name, mask, square)
    categories = [dict(id=CAT_IDS[name], name=name) for name in NAMES]
    return dict(images=images, annotations=annotations, categories=categories)


def write_coco(root: Path, content: dict | None = None) -> Path:
    """Write images and annotations in COCO 2017's tree, the same for both of its splits."""
    (root / 'annotations').mkdir(parents=True, exist_ok=True)
    for split in ('train2017', 'val2017'):
        (root / split).mkdir(exist_ok=True)
        for number in range(4):
            image = Image.fromarray(paint(number)).convert('RGB')
            image.save(root / split / f'{100 + number:012d}.png')
        path = root / 'annotations' / f'instances_{split}.json'
        path.write_text(json.dumps(content or coco_content()))
    return root
