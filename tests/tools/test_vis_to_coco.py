"""Frames of videos as images in COCO format."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from mmdet.datasets import CocoDataset
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO

from mmvis_cl.datasets.converters.moving_shapes import make_moving_shapes

TOOL = str(Path(__file__).parents[2] / 'tools' / 'dataset_converters' / 'vis_to_coco.py')


@pytest.fixture(scope='module')
def shapes(tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'shapes'
    make_moving_shapes(root, train_videos=3, valid_videos=1, length=4)
    return root


@pytest.fixture
def run(monkeypatch):
    def call(*args):
        monkeypatch.setattr(sys, 'argv', [TOOL, *map(str, args)])
        runpy.run_path(TOOL, run_name='__main__')

    return call


def test_every_frame_and_mask(run, shapes, tmp_path):
    run(shapes / 'train.json', tmp_path / 'new' / 'images.json')
    videos = json.loads((shapes / 'train.json').read_text())
    coco = COCO(str(tmp_path / 'new' / 'images.json'))
    names = [name for video in videos['videos'] for name in video['file_names']]
    assert [image['file_name'] for image in coco.dataset['images']] == names
    assert coco.dataset['categories'] == [
        dict(id=c['id'], name=c['name']) for c in videos['categories']
    ]
    masks = 0
    for track in videos['annotations']:
        first = next(i for i, v in enumerate(videos['videos']) if v['id'] == track['video_id'])
        for frame, segmentation in enumerate(track['segmentations']):
            if segmentation is None:
                continue
            masks += 1
            image = coco.dataset['images'][4 * first + frame]
            (found,) = (a for a in coco.imgToAnns[image['id']] if a['track_id'] == track['id'])
            assert found['category_id'] == track['category_id'] and not found['iscrowd']
            if isinstance(segmentation['counts'], list):
                segmentation = mask_utils.frPyObjects(segmentation, *segmentation['size'])
            expected = mask_utils.decode(segmentation)
            assert np.array_equal(coco.annToMask(found), expected)
            assert found['area'] == expected.sum()
    assert masks == len(coco.dataset['annotations']) > 0


def test_mmdet_reads_it(run, shapes, tmp_path):
    run(shapes / 'train.json', tmp_path / 'images.json', '--every', 3)
    dataset = CocoDataset(
        ann_file=str(tmp_path / 'images.json'),
        data_prefix=dict(img=str(shapes / 'JPEGImages')),
        metainfo=dict(classes=('disk', 'triangle', 'star')),
    )
    assert len(dataset) == 3 * 2  # frames 0 and 3 of three videos
    assert all(Path(dataset.get_data_info(i)['img_path']).is_file() for i in range(6))


def test_errors(run, shapes, tmp_path, capsys):
    for args, message in (
        ((tmp_path / 'no.json', tmp_path / 'out.json'), 'the annotation file is missing'),
        ((shapes / 'train.json', tmp_path / 'out.json', '--every', 0), 'must be at least 1'),
    ):
        with pytest.raises(SystemExit):
            run(*args)
        assert message in capsys.readouterr().err
