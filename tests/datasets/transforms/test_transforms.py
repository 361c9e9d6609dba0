"""The transforms one by one, on values that can be read off the pixels."""

import numpy as np
import pytest
from mmcv.transforms import Compose
from mmdet.structures.mask import BitmapMasks
from PIL import Image

from mmvis_cl.datasets import AlignedResize, BoxesFromMasks, LoadFrame, LostObjects
from mmvis_cl.errors import InputError


@pytest.fixture(autouse=True)
def _seed():
    np.random.seed(0)


@pytest.fixture
def jpeg(tmp_path):
    path = tmp_path / '00004.jpg'
    noise = np.random.randint(0, 256, (48, 64, 3), np.uint8)
    Image.fromarray(noise).save(path, quality=95)
    return path


def frame_info(path, **kwargs):
    info = dict(img_path=str(path), height=48, width=64, video_id=7, frame_id=4)
    return {**info, **kwargs}


def test_load_frame(jpeg):
    result = LoadFrame().transform(frame_info(jpeg))
    assert np.array_equal(result['img'][..., ::-1], np.array(Image.open(jpeg)))
    assert result['img_shape'] == result['ori_shape'] == (48, 64)


def test_load_frame_says_what_is_wrong(jpeg, tmp_path):
    place = r'\.jpg \(video 7, frame 4\): '
    with pytest.raises(InputError, match='absent' + place + 'the image is missing'):
        LoadFrame().transform(frame_info(tmp_path / 'absent.jpg'))
    with pytest.raises(InputError, match='00004' + place + r'the image is 64x48 .* says 64x50'):
        LoadFrame().transform(frame_info(jpeg, height=50))
    content = jpeg.read_bytes()
    for kept in (len(content) // 2, len(content) - 40, 100, 0):
        jpeg.write_bytes(content[:kept])
        with pytest.raises(InputError, match='00004' + place + 'the image cannot be decoded') as e:
            LoadFrame().transform(frame_info(jpeg))
        assert '\n' not in str(e.value)
    jpeg.write_text('no image at all')
    with pytest.raises(InputError, match='00004' + place + 'the image cannot be decoded'):
        LoadFrame().transform(frame_info(jpeg))


@pytest.mark.parametrize('scale, size', [((1333, 480), (853, 480)), ((60, 40), (60, 34))])
def test_images_are_resized_as_pillow_does(scale, size):
    image = np.random.randint(0, 256, (180, 320, 3), np.uint8)
    result = AlignedResize(scale=scale).transform(dict(img=image.copy()))
    expected = np.array(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    assert np.array_equal(result['img'], expected)
    assert result['img_shape'] == (size[1], size[0])
    assert np.allclose(result['scale_factor'], (size[0] / 320, size[1] / 180))


# mmdet's Resize is off by 0.3 to 0.5 pixels in both.
@pytest.mark.parametrize('scale', [(300, 40), (300, 203)])
def test_resized_masks_stay_on_their_objects(scale):
    # A disk in the image and as a mask. Wherever they are resized to, their centres agree.
    y, x = np.mgrid[:120, :160]
    mask = (x - 70) ** 2 + (y - 50) ** 2 < 30**2
    image = np.repeat(mask[..., None] * np.uint8(250), 3, 2)
    result = AlignedResize(scale=scale).transform(
        dict(
            img=image,
            gt_bboxes=np.array([[41, 21, 100, 80]], np.float32),
            gt_masks=BitmapMasks(mask[None].astype(np.uint8), 120, 160),
        )
    )
    height, width = result['img_shape']
    resized = result['gt_masks'].masks[0]
    assert resized.shape == (height, width) and set(np.unique(resized)) == {0, 1}
    y, x = np.mgrid[:height, :width]
    weights = result['img'][..., 0] / 250
    for axis in (x, y):
        centre = (axis * weights).sum() / weights.sum()
        assert abs((axis * resized).sum() / resized.sum() - centre) < 0.15
    x1, _, x2, _ = result['gt_bboxes'][0]
    inside = resized.any(0).nonzero()[0]
    assert abs(inside[0] - x1) <= 1 and abs(inside[-1] + 1 - x2) <= 1


@pytest.mark.parametrize('by_columns', [False, True])
def test_resized_masks_are_those_of_pillow(by_columns):
    rng = np.random.default_rng(0)
    for old, new in zip(rng.integers(1, 90, (40, 2)), rng.integers(1, 90, (40, 2)), strict=True):
        masks = rng.integers(0, 2, (2, *old), np.uint8)
        if by_columns:  # as decoded from RLE
            masks = np.stack([np.asfortranarray(mask) for mask in masks])
        result = AlignedResize(scale=tuple(map(int, new)), keep_ratio=False).transform(
            dict(img=np.zeros((*old, 3), np.uint8), gt_masks=BitmapMasks(masks, *old))
        )
        for mask, resized in zip(masks, result['gt_masks'].masks, strict=True):
            expected = Image.fromarray(mask).resize(tuple(new), Image.Resampling.NEAREST)
            assert np.array_equal(resized, np.array(expected))


def test_resize_without_objects():
    result = AlignedResize(scale=(60, 40)).transform(
        dict(
            img=np.zeros((120, 160, 3), np.uint8),
            gt_bboxes=np.zeros((0, 4), np.float32),
            gt_masks=BitmapMasks(np.zeros((0, 120, 160), np.uint8), 120, 160),
        )
    )
    assert result['gt_masks'].masks.shape == (0, 40, 53)


def test_boxes_from_masks():
    masks = np.zeros((4, 6, 8), np.uint8)
    masks[1, 2, 3] = masks[3, 0, 0] = masks[3, 4, 7] = 1
    result = BoxesFromMasks().transform(
        dict(
            gt_bboxes=np.arange(16, dtype=np.float32).reshape(4, 4),
            gt_bboxes_labels=np.array([0, 1, 2, 3]),
            gt_masks=BitmapMasks(masks, 6, 8),
            gt_ignore_flags=np.array([0, 1, 0, 0], bool),
            gt_instances_ids=np.array([10, 11, 12, 13]),
        )
    )
    assert result['gt_instances_ids'].tolist() == [11, 13]
    assert result['gt_bboxes_labels'].tolist() == [1, 3]
    assert result['gt_bboxes'].tolist() == [[3, 2, 4, 3], [0, 0, 8, 5]]
    assert result['gt_ignore_flags'].tolist() == [True, False]
    assert np.array_equal(result['gt_masks'].masks, masks[[1, 3]])


def test_what_is_lost_is_ignored_with_its_label():
    masks = np.ones((1, 6, 8), np.uint8)
    frame = dict(
        instances=[
            dict(instance_id=i, bbox_label=label, ignore_flag=flag)
            for i, label, flag in ((10, 2, 0), (11, 1, 0), (12, 0, 1))
        ],
        gt_bboxes=np.array([[0, 0, 8, 6]], np.float32),
        gt_bboxes_labels=np.array([1]),
        gt_masks=BitmapMasks(masks, 6, 8),
        gt_ignore_flags=np.array([False]),
        gt_instances_ids=np.array([11]),
    )
    result = LostObjects().transform(dict(frame))
    assert result['gt_instances_ids'].tolist() == [11, 10]  # a crowd is none that was lost
    assert result['gt_bboxes_labels'].tolist() == [1, 2]
    assert result['gt_ignore_flags'].tolist() == [False, True]
    assert result['gt_bboxes'].tolist() == [[0, 0, 8, 6], [0, 0, 0, 0]]
    assert result['gt_masks'].masks.sum((1, 2)).tolist() == [48, 0]
    nothing_left = dict(frame, gt_masks=BitmapMasks([], 6, 8))
    for key in ('gt_bboxes', 'gt_bboxes_labels', 'gt_ignore_flags', 'gt_instances_ids'):
        nothing_left[key] = frame[key][:0]
    assert LostObjects().transform(nothing_left)['gt_masks'].masks.shape == (2, 6, 8)


def test_tiny_objects_vanish_when_a_frame_shrinks(build_vis, vis_scope):
    # Object 13 is one pixel. Shrinking keeps about one pixel in sixteen.
    pipeline = [
        dict(
            type='TransformBroadcaster',
            transforms=[
                dict(type='LoadFrame'),
                dict(type='LoadTrackAnnotations', with_mask=True),
                dict(type='AlignedResize', scale=(20, 15)),
                dict(type='BoxesFromMasks'),
            ],
        ),
        dict(type='PackVISInputs'),
    ]
    sample = build_vis(pipeline=pipeline, test_mode=True)[(0, 0)]
    objects = sample['data_samples'][0].gt_instances
    assert objects.instances_ids.tolist() == [11, 12]
    assert objects.masks.masks.shape == (2, 15, 20)


def test_pack_pads_to_the_larger_frame(vis_scope):
    frames = [np.full((5, 9, 3), 1, np.uint8), np.full((7, 4, 3), 2, np.uint8)]
    results = dict(
        img=frames,
        img_id=[0, 1],
        img_shape=[(5, 9), (7, 4)],
        frame_id=[3, 4],
        video_id=[8, 8],
        gt_bboxes=[np.zeros((0, 4), np.float32), np.array([[0, 0, 2, 3]], np.float32)],
        gt_bboxes_labels=[np.zeros(0, int), np.array([1])],
        gt_instances_ids=[np.zeros(0, int), np.array([77])],
        gt_ignore_flags=[np.zeros(0, bool), np.zeros(1, bool)],
        gt_masks=[
            BitmapMasks(np.zeros((0, 5, 9), np.uint8), 5, 9),
            BitmapMasks(np.ones((1, 7, 4), np.uint8), 7, 4),
        ],
        key_frame_flags=[True, False],
    )
    packed = Compose([dict(type='PackVISInputs')])(results)
    inputs, sample = packed['inputs'], packed['data_samples']
    assert tuple(inputs.shape) == (2, 3, 7, 9) and str(inputs.dtype) == 'torch.uint8'
    assert (inputs[0, :, :5, :9] == 1).all() and inputs[0].sum() == 3 * 5 * 9
    assert (inputs[1, :, :7, :4] == 2).all() and inputs[1].sum() == 2 * 3 * 7 * 4
    assert [frame.img_shape for frame in sample.video_data_samples] == [(5, 9), (7, 4)]
    assert sample.get_key_frames()[0].frame_id == 3 and sample.get_ref_frames()[0].frame_id == 4
    assert len(sample[0].gt_instances) == 0
    assert sample[1].gt_instances.instances_ids.tolist() == [77]
    assert sample[1].gt_instances.masks.masks.shape == (1, 7, 4)
