import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample, TrackDataSample
from mmengine.structures import InstanceData
from pycocotools import mask as mask_utils

from mmvis_cl.errors import InputError
from mmvis_cl.registry import METRICS

H, W = 40, 60
BOX = (10, 10, 30, 20)  # x1 y1 x2 y2: 200 pixels


@pytest.fixture
def ann_file(tmp_path):
    """One video of two frames with one object: an L, whose box is mostly empty."""
    mask = np.zeros((H, W), np.uint8)
    mask[10:20, 10:12] = mask[18:20, 10:30] = 1
    rle = mask_utils.encode(np.asfortranarray(mask))
    rle = dict(size=[H, W], counts=rle['counts'].decode())
    path = tmp_path / 'ann.json'
    content = dict(
        videos=[dict(id=1, width=W, height=H, length=2, file_names=['a.jpg', 'b.jpg'])],
        categories=[dict(id=4, name='el'), dict(id=9, name='other')],
        annotations=[
            dict(
                id=1,
                video_id=1,
                category_id=9,
                iscrowd=0,
                segmentations=[rle, None],
                areas=[56, None],
            )
        ],
    )
    path.write_text(json.dumps(content))
    return str(path)


def score(metric, box, label=1):
    frames = []
    for number in range(2):
        frame = DetDataSample(
            metainfo=dict(video_id=1, frame_id=number, ori_video_length=2, ori_shape=(H, W))
        )
        seen = number == 0
        frame.pred_track_instances = InstanceData(
            bboxes=torch.tensor([box] if seen else []).float().reshape(-1, 4),
            labels=torch.tensor([label] * seen, dtype=torch.long),
            scores=torch.ones(int(seen)),
            instances_id=torch.zeros(int(seen), dtype=torch.long),
        )
        frames.append(frame)
    sample = TrackDataSample()
    sample.video_data_samples = frames
    metric.process(None, [sample])
    return metric.evaluate(size=1)


def build(ann_file, classes=('el', 'other'), **kwargs):
    metric = METRICS.build(dict(type='mmvis_cl.BoxTrackMetric', ann_file=ann_file, **kwargs))
    metric.dataset_meta = dict(classes=classes)
    return metric


def test_scores_go_by_boxes(ann_file):
    assert score(build(ann_file), BOX)['box_track/AP'] == pytest.approx(1)
    # 13 of 20 columns: an IoU of 0.65, above the thresholds 0.5, 0.55 and 0.6 (and 0.65 itself,
    # where figures are compared with >=)
    lower = score(build(ann_file), (10, 10, 23, 20))
    assert lower['box_track/AP50'] == pytest.approx(1)
    assert lower['box_track/AP75'] == 0
    assert lower['box_track/AP'] == pytest.approx(0.4)


def test_boxes_are_cut_at_the_border(ann_file):
    content = json.loads(Path(ann_file).read_text())
    everything = dict(size=[H, W], counts=[0, H * W])
    content['annotations'][0]['segmentations'][0] = everything
    Path(ann_file).write_text(json.dumps(content))
    assert score(build(ann_file), (-20, -20, 90, 90))['box_track/AP'] == pytest.approx(1)


def test_classes_count_unless_told_otherwise(ann_file):
    assert score(build(ann_file), BOX, label=0)['box_track/AP'] == 0
    assert score(build(ann_file, any_class=True), BOX, label=0)['box_track/AP'] == pytest.approx(1)
    one = build(ann_file, classes=('thing',), any_class=True)
    assert score(one, BOX, label=0)['box_track/AP'] == pytest.approx(1)


def test_boxes_without_annotations_are_an_error():
    with pytest.raises(InputError, match='ann_file is None; give annotations'):
        METRICS.build(dict(type='BoxTrackMetric', ann_file=None))
