"""The video model as a whole, with a tiny network."""

import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.registry import DefaultScope
from release_fixtures import ROOT, frame_sample, track_sample
from small_model import small_model

from mmvis_cl.errors import InputError
from mmvis_cl.registry import MODELS


@pytest.fixture(scope='module')
def model():
    return small_model(confident=True).eval()


def video(length, seed=0, size=(64, 96), video_id=1, img_shape=None):
    g = torch.Generator().manual_seed(seed)
    frames = torch.randint(0, 256, (length, 3, *size), generator=g, dtype=torch.uint8)
    samples = []
    for t in range(length):
        sample = frame_sample(img_shape or size)
        sample.set_metainfo(
            dict(frame_id=t, video_id=video_id, ori_video_length=length, ori_shape=(32, 48))
        )
        samples.append(sample)
    return frames, samples


def predict(model, frames, samples):
    data = dict(inputs=[frames], data_samples=[track_sample(samples)])
    with torch.no_grad():
        return model(**model.data_preprocessor(data), mode='predict')[0]


def training_data(key_ids, ref_ids, size=(64, 96)):
    frames, _ = video(2, size=size)
    samples = []
    for ids in (key_ids, ref_ids):
        masks = np.zeros((len(ids), *size), np.uint8)
        boxes = []
        for mask, i in zip(masks, ids, strict=True):
            mask[8 * i : 8 * i + 16, 10 * i : 10 * i + 20] = 1
            boxes.append([10.0 * i, 8.0 * i, 10.0 * i + 20, 8.0 * i + 16])
        samples.append(
            frame_sample(
                size,
                bboxes=torch.tensor(boxes).reshape(-1, 4),
                labels=torch.tensor([i % 3 for i in ids], dtype=torch.long),
                masks=BitmapMasks(masks, *size),
                instances_ids=torch.tensor(ids, dtype=torch.long),
            )
        )
    return dict(inputs=[frames], data_samples=[track_sample(samples)])


def loss(model, data):
    torch.manual_seed(0)
    return model(**model.data_preprocessor(data, training=True), mode='loss')


def test_raw_forward(model):
    frames, samples = video(3)
    data = model.data_preprocessor(dict(inputs=[frames], data_samples=[track_sample(samples)]))
    with torch.no_grad():
        outputs = model(**data, mode='tensor')
        without_samples = model(data['inputs'], mode='tensor')
    shapes = {k: tuple(v.shape) for k, v in outputs.items() if k.startswith('pred_')}
    assert shapes == dict(
        pred_logits=(3, 40, 3),
        pred_boxes=(3, 40, 4),
        pred_masks=(3, 40, 16, 24),
        pred_embeds=(3, 40, 96),
    )
    for key, value in outputs.items():
        torch.testing.assert_close(without_samples[key], value)


def test_padding_does_not_change_the_outputs(model):
    """Boxes are over the unpadded size: a frame alone and beside a larger one give the same."""
    frames, samples = video(1)
    alone = model.data_preprocessor(dict(inputs=[frames], data_samples=[track_sample(samples)]))
    padded = torch.nn.functional.pad(alone['inputs'], (0, 32, 0, 32))
    with torch.no_grad():
        expected = model(**alone, mode='tensor')
        outputs = model(padded, [track_sample(samples)], mode='tensor')
    assert outputs['pred_boxes'].shape == expected['pred_boxes'].shape
    # batch statistics and convolutions at the border see the padding, so only roughly
    assert (outputs['pred_boxes'] - expected['pred_boxes']).abs().median() < 0.02


def test_losses_and_gradients_of_a_pair(model):
    losses = loss(model, training_data([0, 1, 2], [1, 2, 4]))
    names = ['loss_cls', 'loss_bbox', 'loss_iou', 'loss_mask', 'loss_dice']
    expected = {f'{d}{n}' for d in ('d0.', '') for n in names}
    assert set(losses) == expected | {'loss_embed', 'loss_embed_aux'}
    model.zero_grad()
    sum(losses.values()).backward()
    without = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []
    assert all(v.isfinite() and v > 0 for v in losses.values())


def test_both_ways_counts_each_frame_as_key_once(model):
    """The class loss is that of four single images; objects seen in one frame only count too."""
    data = training_data([0, 1, 2], [1, 2, 4])
    model.both_ways = False
    one_way = loss(model, data)
    turned = training_data([1, 2, 4], [0, 1, 2])
    turned['inputs'][0] = data['inputs'][0].flip(0)
    other_way = loss(model, turned)
    model.both_ways = True
    both = loss(model, data)
    # without random numbers, and averaged over three and two objects each way
    expected = (one_way['loss_embed'] + other_way['loss_embed']) / 2
    torch.testing.assert_close(both['loss_embed'], expected, rtol=1e-3, atol=1e-3)
    low, high = sorted((one_way['loss_cls'].item(), other_way['loss_cls'].item()))
    assert low - 1e-3 <= both['loss_cls'].item() <= high + 1e-3


def test_mixed_precision(model):
    """bfloat16 gives finite losses near those of float32, and the same kind of results."""
    data = training_data([0, 1, 2], [1, 2, 4])
    expected = loss(model, data)
    with torch.autocast('cpu', torch.bfloat16):
        losses = loss(model, data)
        sample = predict(model, *video(2))
    assert all(v.isfinite() for v in losses.values())
    assert losses['loss_cls'].item() == pytest.approx(expected['loss_cls'].item(), rel=0.1)
    assert len(sample.video_result.tracks) > 0


@pytest.mark.parametrize('ref_ids', [[], [1, 2]])
def test_empty_key_frame_gives_zero_losses_with_gradient(model, ref_ids):
    model.both_ways = False
    losses = loss(model, training_data([], ref_ids))
    model.zero_grad()
    sum(losses.values()).backward()
    assert all(v.isfinite() for v in losses.values())
    assert all(v == 0 for k, v in losses.items() if 'loss_cls' not in k)
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_frames_of_a_pair_may_differ_in_size(model):
    data = training_data([0, 1], [0, 1])
    data['inputs'][0][1, :, 40:] = 255  # outside of the smaller frame, must not be seen
    ref = data['data_samples'][0][1]
    ref.set_metainfo(dict(img_shape=(40, 96)))
    ref.gt_instances.masks = ref.gt_instances.masks.crop(np.array([0, 0, 96, 40]))
    inputs = model.data_preprocessor(data, training=True)['inputs']
    assert (inputs[0, 1, :, 40:] == 0).all()
    assert (inputs[0, 0, :, 40:] != 0).any()
    assert all(v.isfinite() for v in loss(model, data).values())


def test_frame_by_frame_equals_the_whole_video(model):
    frames, samples = video(4)
    whole = predict(model, frames, samples).video_result
    frames, samples = video(4)
    for t in range(4):
        sample = predict(model, frames[t : t + 1], samples[t : t + 1])
        assert ('video_result' in sample.metainfo) == (t == 3)
        assert {'instances_id', 'labels', 'scores', 'bboxes', 'masks'} == set(
            sample[0].pred_track_instances.keys()
        )
    streamed = sample.video_result
    assert len(whole.tracks) > 0
    for a, b in zip(whole.tracks, streamed.tracks, strict=True):
        assert (a.identity, a.label, a.segmentations) == (b.identity, b.label, b.segmentations)
        assert a.score == pytest.approx(b.score, abs=1e-5)


def test_masks_and_boxes_are_of_the_original_size(model):
    sample = predict(model, *video(1, img_shape=(60, 90)))
    instances = sample[0].pred_track_instances
    assert all(rle['size'] == [32, 48] for rle in instances.masks)
    assert (instances.bboxes >= 0).all()
    assert (instances.bboxes <= torch.tensor([48, 32, 48, 32])).all()


def test_two_sessions_of_one_model(model):
    """Two videos watched in turn give what each gives alone."""
    videos = [video(3, seed, video_id=seed) for seed in (1, 2)]
    alone = [predict(model, *v).video_result.tracks for v in videos]
    sessions = [model.start_video(seed, 3, (32, 48)) for seed in (1, 2)]
    for t in range(3):
        for session, (frames, samples) in zip(sessions, videos, strict=True):
            data = dict(inputs=[frames[t : t + 1]], data_samples=[track_sample([samples[t]])])
            data = model.data_preprocessor(data)
            model.track_frames(session, data['inputs'][0], [samples[t]])
    for session, expected in zip(sessions, alone, strict=True):
        assert [t.segmentations for t in session.result.tracks] == [
            t.segmentations for t in expected
        ]


def test_frame_out_of_order_is_a_clear_error(model):
    frames, samples = video(3)
    predict(model, frames[:1], samples[:1])
    with pytest.raises(ValueError, match='frame 2 of video 1 came out of order'):
        predict(model, frames[2:], samples[2:])


def test_a_video_in_which_nothing_is_found(model):
    """The single best query stays, but is too weak to start an identity."""
    biases = [b.bias for b in model.detector.bbox_head.cls_branches]
    with torch.no_grad():
        for bias in biases:
            bias -= 20
        result = predict(model, *video(2)).video_result
        for bias in biases:
            bias += 20
    assert result.tracks == []


def test_image_network_on_its_own(model):
    """Without video: losses and instances of single images."""
    detector = model.detector
    data = training_data([0, 1], [0])
    data = model.data_preprocessor(data, training=True)
    losses = detector.loss(data['inputs'][:, 0], [data['data_samples'][0][0]])
    assert 'loss_mask' in losses and 'loss_embed' not in losses
    frames, samples = video(2)
    data = model.data_preprocessor(dict(inputs=[frames], data_samples=[track_sample(samples)]))
    with torch.no_grad():
        predicted = detector.predict(data['inputs'][0], samples)
    instances = predicted[0].pred_instances
    assert instances.masks.shape == (len(instances), 32, 48)
    assert (instances.scores[:-1] >= instances.scores[1:]).all()


def same_tracks(found, expected):
    assert len(expected) > 0
    for a, b in zip(found, expected, strict=True):
        assert (a.identity, a.label, a.segmentations) == (b.identity, b.label, b.segmentations)
        assert a.score == pytest.approx(b.score, abs=1e-5)


@pytest.mark.parametrize('per_pass', [1, 3, 8])
def test_frames_in_batches_give_what_they_give_one_by_one(model, per_pass):
    expected = predict(model, *video(5)).video_result.tracks
    passes = []
    hook = model.detector.backbone.register_forward_pre_hook(
        lambda _, inputs: passes.append(len(inputs[0]))
    )
    kept, model.test_cfg = model.test_cfg, dict(model.test_cfg, frames_per_pass=per_pass)
    frames, samples = video(5)
    # as the data loader gives a batch of 5: five parts of one frame each
    data = dict(
        inputs=[frame[None] for frame in frames], data_samples=[track_sample([s]) for s in samples]
    )
    try:
        with torch.no_grad():
            found = model(**model.data_preprocessor(data), mode='predict')
    finally:
        hook.remove()
        model.test_cfg = kept
    assert passes == {1: [1] * 5, 3: [3, 2], 8: [5]}[per_pass]
    same_tracks(found[-1].video_result.tracks, expected)


def test_videos_of_two_sizes_in_a_batch(model):
    """The smaller frames are not padded to the larger ones' size."""
    videos = [video(2, 1, (64, 96), video_id=1), video(2, 2, (32, 64), video_id=2)]
    alone = [predict(model, *v).video_result.tracks for v in videos]
    data = dict(
        inputs=[frames[t : t + 1] for frames, _ in videos for t in (0, 1)],
        data_samples=[track_sample([samples[t]]) for _, samples in videos for t in (0, 1)],
    )
    with torch.no_grad():
        found = model(**model.data_preprocessor(data), mode='predict')
    same_tracks(found[1].video_result.tracks, alone[0])
    same_tracks(found[3].video_result.tracks, alone[1])


def test_bfloat16_is_close(model):
    frames, samples = video(1)
    data = model.data_preprocessor(dict(inputs=[frames], data_samples=[track_sample(samples)]))
    states = model.query_states(data['inputs'][0], samples)
    kept, model.test_cfg = model.test_cfg, dict(model.test_cfg, autocast='bfloat16')
    low = model.query_states(data['inputs'][0], samples)
    model.test_cfg = kept
    assert all(x.dtype == torch.float32 for x in low[:4])  # what decides is in float32
    assert not torch.equal(low.states, states.states)
    assert (low.boxes - states.boxes).abs().max() < 0.01
    assert (low.logits.sigmoid() - states.logits.sigmoid()).abs().max() < 0.02


@pytest.mark.parametrize('option', [dict(autocast='int8'), dict(frames_per_pass=0)])
def test_bad_test_options(option):
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        cfg = Config.fromfile(ROOT.parent / 'configs' / 'vis_cl' / 'small_moving-shapes.py').model
        cfg.test_cfg.update(option)
        with pytest.raises(InputError, match=next(iter(option))):
            MODELS.build(cfg)
