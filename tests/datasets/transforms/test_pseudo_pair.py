"""Pseudo pairs: the pipeline of the configs on images whose grey value says who is where."""

import copy
from pathlib import Path

import numpy as np
import pytest
from coco_files import OBJECTS, paint, write_coco
from mmdet.datasets import CocoDataset
from mmengine.config import Config
from PIL import Image

from mmvis_cl.datasets import COCOImages, PseudoPair

CONFIGS = Path(__file__).parents[3] / 'configs' / '_base_' / 'datasets'


@pytest.fixture(autouse=True)
def _seed():
    np.random.seed(0)


@pytest.fixture
def build(tmp_path, vis_scope):
    """The config's data set of pseudo pairs, made small where asked; its structure is kept."""
    write_coco(tmp_path)
    cfg = Config.fromfile(CONFIGS / 'coco_pair_set.py').coco_pair_set

    def build(dataset=COCOImages, exact=False, scales=((999, 40), (999, 50)), **kwargs):
        kwargs = {**copy.deepcopy(cfg.to_dict()), 'data_root': str(tmp_path), **kwargs}
        del kwargs['type']
        transforms = kwargs['pipeline'][1]['transforms']
        _, _, _, maybe, resize, _ = transforms
        maybe['transforms'][0]['scales'] = [(999, 50)]
        maybe['transforms'][1]['crop_size'] = (20, 50)
        resize['scales'] = list(scales)
        if exact:  # nothing is resampled
            del maybe['transforms'][0], transforms[4]
        return dataset(**kwargs)

    return build


def frames_of(sample):
    return zip(sample['inputs'], sample['data_samples'].video_data_samples, strict=True)


def test_recipe():
    cfg = Config.fromfile(CONFIGS / 'coco_pairs.py')
    single = Config.fromfile(CONFIGS / 'coco_instance.py')
    pair, alone, _ = cfg.train_dataloader.dataset.pipeline
    assert pair.type == 'PseudoPair' and not alone.share_random_params
    flip, maybe, resize = (t.to_dict() for t in alone.transforms[2:5])
    assert flip == dict(type='RandomFlip', prob=0.5)
    assert maybe['prob'] == 0.5
    before, crop = maybe['transforms']
    assert [s[1] for s in before['scales']] == [400, 500, 600]
    assert min(s[0] for s in before['scales']) > 20000  # the short side alone counts
    assert (crop['crop_type'], crop['crop_size']) == ('absolute_range', (384, 600))
    sides = [320, 352, 392, 416, 448, 480, 512, 544, 576, 608, 640]
    assert resize['scales'] == [(1333, side) for side in sides]
    assert before['resize_type'] == resize['resize_type'] == 'AlignedResize'
    assert single.train_pipeline[2:-1] == alone.transforms[2:]
    assert single.test_pipeline[1].scale == (1333, 800)


def test_identities_stay_with_their_objects(build):
    dataset = build(exact=True)
    absent = {(frame, i): 0 for frame in (0, 1) for i in (1, 2, 3)}
    pairs_apart = 0
    for number in range(300):
        sample = dataset[number % 2]
        ids = []
        for t, (image, frame) in enumerate(frames_of(sample)):
            height, width = frame.img_shape
            grey = image[0, :height, :width].numpy()
            assert not image[:, height:].any() and not image[..., width:].any()
            objects = frame.gt_instances
            ids.append(objects.instances_ids.tolist())
            # who is seen is there, in the order of the file, and no crowd
            assert ids[-1] == [v // 10 for v in np.unique(grey) if v]
            for i, mask, box, label in zip(
                ids[-1], objects.masks.masks, objects.bboxes, objects.labels, strict=True
            ):
                assert np.array_equal(mask.astype(bool), grey == 10 * i)
                ys, xs = mask.nonzero()
                assert box.tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
                assert dataset.metainfo['classes'][label] == OBJECTS[10 * i]
            for i in (1, 2, 3):
                absent[t, i] += i not in ids[-1]
        pairs_apart += ids[0] != ids[1]
    assert min(absent.values()) > 20 and pairs_apart > 50


def test_the_frames_are_augmented_independently(build):
    dataset = build(exact=True)
    dataset.pipeline.transforms.pop()  # not packed, to see where the crops are
    flips, crops = [], []
    for _ in range(400):
        pair = dataset[0]
        flips.append(pair['flip'])
        crops.append([img.shape[:2] != (60, 80) for img in pair['img']])
    for choices in (np.array(flips), np.array(crops)):
        # each with probability 0.5, and all four combinations a quarter: five standard deviations
        assert np.abs(choices.mean(0) - 0.5).max() < 5 * 0.5 / np.sqrt(400)
        for combination in ([0, 0], [0, 1], [1, 0], [1, 1]):
            share = (choices == combination).all(1).mean()
            assert abs(share - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 400)
    # flip and crop have nothing to do with each other
    assert abs(np.corrcoef(np.array(flips).ravel(), np.array(crops).ravel())[0, 1]) < 0.18


def test_the_scales_are_independent(build):
    dataset = build(scales=[(999, s) for s in (24, 32, 40)])
    shorts = np.array(
        [
            [min(frame.img_shape) for frame in dataset[0]['data_samples'].video_data_samples]
            for _ in range(225)
        ]
    )
    for a in (24, 32, 40):
        for b in (24, 32, 40):
            share = (shorts == (a, b)).all(1).mean()
            assert abs(share - 1 / 9) < 5 * np.sqrt(8 / 81 / 225)


def test_masks_and_boxes_go_along_when_scaled(build):
    dataset = build()
    for _ in range(50):
        for image, frame in frames_of(dataset[0]):
            height, width = frame.img_shape
            objects = frame.gt_instances
            assert (objects.masks.height, objects.masks.width) == (height, width)
            assert objects.masks.masks.any((1, 2)).all()
            ids = objects.instances_ids.tolist()
            if 2 in ids:  # the square: its inside keeps its grey value
                mask = objects.masks.masks[ids.index(2)].astype(bool)
                inside = mask[1:-1, 1:-1] & mask[2:, 1:-1] & mask[:-2, 1:-1]
                inside &= mask[1:-1, 2:] & mask[1:-1, :-2]
                grey = image[0, 1 : height - 1, 1 : width - 1].numpy()[inside]
                assert (np.abs(grey.astype(int) - 20) <= 8).all()
                assert grey.size == 0 or np.median(grey) == 20


def test_full_size_scales(build):
    dataset = build(scales=[(1333, 320), (1333, 640)])
    for _ in range(6):
        for _, frame in frames_of(dataset[0]):
            assert min(frame.img_shape) in (320, 640) or max(frame.img_shape) == 1333


def test_images_without_objects(build):
    dataset = build(filter_cfg=None)
    assert dataset.get_data_info(2)['instances'] == []
    for _ in range(10):
        for image, frame in frames_of(dataset[2]):
            objects = frame.gt_instances
            assert tuple(objects.bboxes.shape) == (0, 4) and not image.any()
            assert len(objects.masks) == len(objects.labels) == len(objects.instances_ids) == 0


def test_works_on_mmdets_own_data_set(build):
    dataset = build(dataset=CocoDataset, exact=True)
    # image 101: its first annotation is a crowd, the others keep their places
    found = set()
    for _ in range(20):
        for _, frame in frames_of(dataset[1]):
            ids = frame.gt_instances.instances_ids.tolist()
            names = [dataset.metainfo['classes'][i] for i in frame.gt_instances.labels]
            found |= set(zip(ids, names, strict=True))
    assert found == {(2, 'person'), (3, 'car'), (4, 'mouse')}


def test_the_two_frames_share_nothing():
    image = dict(
        img_id=7,
        img_path='7.png',
        instances=[dict(bbox=[1, 2, 3, 4], bbox_label=0, ignore_flag=0, instance_id=42)],
    )
    before = copy.deepcopy(image)
    pair = PseudoPair()(image)
    assert {key: len(value) for key, value in pair.items()} == dict.fromkeys(pair, 2)
    assert pair['frame_id'] == [0, 1] and pair['video_id'] == [7, 7]
    assert pair['video_length'] == pair['ori_video_length'] == [2, 2]
    assert pair['key_frame_flags'] == [True, False]
    pair['instances'][0][0]['bbox'][0] = 99
    pair['instances'][0][0]['ignore_flag'] = 1
    assert image == before and pair['instances'][1] == before['instances']


def test_the_painted_files_are_what_they_say(tmp_path):
    root = write_coco(tmp_path)
    for number in range(4):
        image = np.array(Image.open(root / 'train2017' / f'{100 + number:012d}.png'))
        assert np.array_equal(image[..., 0], paint(number))
