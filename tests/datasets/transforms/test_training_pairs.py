"""The training pipelines of the configs: what is shared by a pair, what is not, and who is who."""

from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

CONFIGS = Path(__file__).parents[3] / 'configs' / '_base_' / 'datasets'


@pytest.fixture(autouse=True)
def _seed():
    np.random.seed(0)


def train_pipeline(name: str, scales=None, crop=None) -> list:
    """A config's own training pipeline, made small where asked; its structure is kept."""
    pipeline = Config.fromfile(CONFIGS / f'{name}.py').train_pipeline
    _, _, maybe, together, _ = pipeline
    if crop is not None:
        maybe.transforms[0].transforms[0].update(crop)
    if scales == 'none':
        together.transforms = [
            t for t in together.transforms if t.type not in ('RandomChoiceResize', 'RandomFlip')
        ]
    elif scales is not None:
        together.transforms[0].scales = scales
    return pipeline


def frames_of(sample):
    return zip(sample['inputs'], sample['data_samples'].video_data_samples, strict=True)


SMALL_CROP = dict(crop_size=(20, 50))


def test_identities_stay_with_their_objects(build_vis, vis_scope):
    # The image says by its grey value who is where, so it is an independent witness for the masks.
    dataset = build_vis(pipeline=train_pipeline('ytvis19', scales='none', crop=SMALL_CROP))
    left_out, cropped = {11: 0, 12: 0, 13: 0}, 0
    for _ in range(300):
        sample = dataset[0]
        for image, frame in frames_of(sample):
            height, width = frame.img_shape
            grey = image[0, :height, :width].numpy()
            objects = frame.gt_instances
            ids = objects.instances_ids.tolist()
            assert sorted(ids) == [10 + v // 10 for v in np.unique(grey) if v]
            for i, identity in enumerate(ids):
                mask = objects.masks.masks[i].astype(bool)
                assert np.array_equal(mask, grey == 10 * (identity - 10))
                ys, xs = mask.nonzero()
                box = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
                assert objects.bboxes[i].tolist() == box
                assert objects.labels[i] == {11: 0, 12: 1, 13: 0}[identity]
            cropped += (height, width) != (60, 80)
            for identity in left_out:
                left_out[identity] += identity not in ids
    # Object 11 is an L: its box is in every crop, the object itself is not.
    assert min(left_out.values()) > 20
    # 300 pairs, cropped with probability 0.5: five standard deviations are 43 pairs.
    assert abs(cropped - 300) < 88


def test_half_of_the_pairs_are_cropped_each_frame_for_itself(build_vis, vis_scope):
    pipeline = train_pipeline('ytvis19', scales='none', crop=SMALL_CROP)
    dataset = build_vis(pipeline=pipeline[:3])  # not packed, to see where the crops are
    heights, widths, both, offsets = [], [], [], []
    for _ in range(800):
        pair = dataset[0]
        shapes = [img.shape[:2] for img in pair['img']]
        for height, width in shapes:
            if (height, width) != (60, 80):
                heights.append(height)
                widths.append(width)
        both.append([shape != (60, 80) for shape in shapes])
        if all(both[-1]):
            # Offset as a share of the room that the crop's size leaves, from 0 to 1.
            offsets.append(
                [
                    -matrix[0, 2] / (80 - shape[1])
                    for matrix, shape in zip(pair['homography_matrix'], shapes, strict=True)
                ]
            )
    # Sides are uniform from 20 to 50.
    assert set(heights) == set(widths) == set(range(20, 51))
    assert abs(np.mean(heights) - 35) < 1.7 and abs(np.mean(widths) - 35) < 1.7
    # Both or none, half of the time: 400 +- 5 standard deviations. A crop is never the whole frame.
    assert both.count([True, True]) + both.count([False, False]) == 800
    assert abs(both.count([True, True]) - 400) < 71
    offsets = np.array(offsets)
    assert offsets.min() >= 0 and offsets.max() <= 1 and np.abs(offsets.mean(0) - 0.5).max() < 0.12
    assert abs(np.corrcoef(offsets.T)[0, 1]) < 0.35


def test_flip_and_scale_are_shared(build_vis, vis_scope):
    scales = [(999, s) for s in (24, 32, 40, 48)]
    dataset = build_vis(pipeline=train_pipeline('ytvis19', scales=scales, crop=SMALL_CROP))
    flips, shorts = [], []
    for _ in range(400):
        key, reference = dataset[0]['data_samples'].video_data_samples
        assert key.flip == reference.flip
        assert min(key.img_shape) == min(reference.img_shape)
        assert key.frame_id < reference.frame_id <= key.frame_id + 10
        for frame in (key, reference):
            # Masks and boxes went along with the image.
            masks = frame.gt_instances.masks
            assert (masks.height, masks.width) == frame.img_shape
            assert masks.masks.any((1, 2)).all()
        flips.append(key.flip)
        shorts.append(min(key.img_shape))
    assert abs(sum(flips) - 200) < 50
    assert {s: abs(shorts.count(s) - 100) < 44 for s in (24, 32, 40, 48)} == dict.fromkeys(
        (24, 32, 40, 48), True
    )


def test_flip_mirrors_image_and_masks(build_vis, vis_scope):
    pipeline = train_pipeline('ytvis19', scales=[(80, 60)], crop=dict(crop_size=(80, 80)))
    dataset = build_vis(pipeline=pipeline)
    seen = set()
    for _ in range(20):
        sample = dataset[0]
        for image, frame in frames_of(sample):
            path = frame.img_path
            expected = np.array(Image.open(path))
            expected = expected[:, ::-1] if frame.flip else expected
            assert np.array_equal(image.permute(1, 2, 0).numpy()[..., ::-1], expected)
            for identity, mask in zip(
                frame.gt_instances.instances_ids.tolist(),
                frame.gt_instances.masks.masks,
                strict=True,
            ):
                assert np.array_equal(mask, expected[..., 0] == 10 * (identity - 10))
            seen.add(bool(frame.flip))
    assert seen == {True, False}


def test_long_side_is_bounded(build_vis, vis_scope):
    dataset = build_vis(pipeline=train_pipeline('ytvis19', crop=dict(crop_size=(80, 80))))
    for _ in range(10):
        key, reference = dataset[0]['data_samples'].video_data_samples
        assert key.img_shape == reference.img_shape
        assert min(key.img_shape) >= 320 and max(key.img_shape) <= 768


@pytest.mark.parametrize('name', ['ytvis19', 'moving_shapes'])
def test_pairs_without_any_object(build_vis, vis_content, vis_scope, name):
    for annotation in vis_content['annotations']:
        annotation['segmentations'][1:] = annotation['bboxes'][1:] = [None] * 11
    dataset = build_vis(pipeline=train_pipeline(name, scales=[(64, 32)], crop=None))
    empty = 0
    for _ in range(20):
        for frame in dataset[0]['data_samples'].video_data_samples:
            objects = frame.gt_instances
            if frame.frame_id > 0:
                assert len(objects.bboxes) == len(objects.masks) == len(objects.labels) == 0
                assert tuple(objects.bboxes.shape) == (0, 4)
                empty += 1
    assert empty >= 20


@pytest.mark.parametrize('name, shortest', [('ytvis19', 480), ('moving_shapes', 112)])
def test_test_pipeline(build_vis, vis_scope, name, shortest):
    dataset = build_vis(
        pipeline=Config.fromfile(CONFIGS / f'{name}.py').test_pipeline, test_mode=True
    )
    sample = dataset[(0, 9)]
    (frame,) = sample['data_samples'].video_data_samples
    assert tuple(sample['inputs'].shape) == (1, 3, shortest, round(shortest * 4 / 3))
    assert frame.img_shape == (shortest, round(shortest * 4 / 3)) and frame.ori_shape == (60, 80)
    assert (frame.video_id, frame.frame_id, frame.ori_video_length) == (5, 9, 12)
    assert [instance['instance_id'] for instance in frame.instances] == [11, 12]
