from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS

CONFIG = Path(__file__).parents[2] / 'projects' / 'pseudo_pair_tracking' / 'small_moving-shapes.py'


@pytest.fixture
def images(run_tool, shapes):
    out = shapes / 'train_images.json'
    if not out.exists():
        run_tool('dataset_converters/vis_to_coco.py', shapes / 'train.json', out, '--every', 2)
    return out


def test_trains_on_images_and_tracks_videos(train_and_test, images):
    losses, scores, _ = train_and_test(CONFIG, 'model.detector.test_cfg.rcnn.max_per_img=10')
    assert losses['loss_match'] > 0
    assert 0 <= scores['youtube_vis/AP'] <= 1


def test_mmdets_track_heads_find_each_object_in_both_frames(images):
    cfg = Config.fromfile(CONFIG)
    dataset = cfg.train_dataloader.dataset
    dataset.data_root = f'{images.parent}/'
    dataset.pipeline[1].transforms = [
        t for t in dataset.pipeline[1].transforms if t.type != 'RandomCrop'
    ]
    sample = DATASETS.build(dataset)[0]['data_samples']
    key, ref = (
        frames[0].gt_instances.instances_ids.tolist()
        for frames in (sample.get_key_frames(), sample.get_ref_frames())
    )
    # without the crop all objects are in both; QDTrack has no pair for an id of 0
    assert key == ref and len(key) > 0 and min(key) > 0
