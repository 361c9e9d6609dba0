"""A small video in YouTube-VIS format whose every mask can be read off its pixels."""

import json

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from PIL import Image
from pycocotools import mask as mask_utils

FRAMES, HEIGHT, WIDTH = 12, 60, 80


def encode(mask: np.ndarray) -> dict:
    rle = mask_utils.encode(np.asfortranarray(mask.astype(np.uint8)))
    return dict(size=list(rle['size']), counts=rle['counts'].decode())


def paint(frame: int) -> np.ndarray:
    """An image (60, 80) of 0, 10, 20, 30 for background and objects 1, 2, 3.

    Object 1 is a large L whose box is mostly empty, 2 a square that moves right by two pixels a
    frame, 3 a single pixel that is there in even frames only.
    """
    image = np.zeros((HEIGHT, WIDTH), np.uint8)
    image[4:56, 4:8] = 10
    image[52:56, 4:76] = 10
    image[10:20, 20 + 2 * frame : 30 + 2 * frame] = 20
    if frame % 2 == 0:
        image[40, 60] = 30
    return image


@pytest.fixture
def vis_content() -> dict:
    """The annotation file of the video: categories 3 (cat) and 7 (dog), track ids 11, 12, 13."""
    images = [paint(frame) for frame in range(FRAMES)]
    annotations = []
    for index, category_id in ((1, 3), (2, 7), (3, 3)):
        masks = [image == 10 * index for image in images]
        rles = [encode(mask) if mask.any() else None for mask in masks]
        annotations.append(
            dict(
                id=10 + index,
                video_id=5,
                category_id=category_id,
                iscrowd=0,
                segmentations=rles,
                bboxes=[rle and mask_utils.toBbox(rle).tolist() for rle in rles],
                areas=[rle and int(mask_utils.area(rle)) for rle in rles],
                height=HEIGHT,
                width=WIDTH,
                length=FRAMES,
            )
        )
    return dict(
        categories=[dict(id=7, name='dog'), dict(id=3, name='cat')],
        videos=[
            dict(
                id=5,
                width=WIDTH,
                height=HEIGHT,
                length=FRAMES,
                file_names=[f'clip/{frame:05d}.png' for frame in range(FRAMES)],
            )
        ],
        annotations=annotations,
    )


@pytest.fixture
def vis_root(tmp_path, vis_content):
    """The folder of the data set: train.json and JPEGImages/clip/*.png (lossless)."""
    folder = tmp_path / 'JPEGImages' / 'clip'
    folder.mkdir(parents=True)
    for frame in range(FRAMES):
        Image.fromarray(paint(frame)).convert('RGB').save(folder / f'{frame:05d}.png')
    (tmp_path / 'train.json').write_text(json.dumps(vis_content))
    return tmp_path


@pytest.fixture
def build_vis(vis_root, vis_content):
    """Writes ``vis_content``, as the test has changed it, and builds a VISDataset on it."""
    from mmvis_cl.registry import DATASETS

    def build(**kwargs):
        (vis_root / 'train.json').write_text(json.dumps(vis_content))
        cfg = dict(
            type='mmvis_cl.VISDataset',
            data_root=str(vis_root),
            ann_file='train.json',
            data_prefix=dict(img_path='JPEGImages'),
            pipeline=[],
        )
        return DATASETS.build({**cfg, **kwargs})

    return build


@pytest.fixture
def vis_scope():
    """mmengine's default scope, as our configs set it."""
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        yield
