"""CTVIS's network for inference: what the plain one gives, with masks of kept queries alone."""

import copy

import pytest
import torch
from release_fixtures import build, frame_sample, load, video_batch
from torch.nn import functional as F

from mmvis_cl.errors import InputError
from mmvis_cl.fast.fast_attention import FastDeformableAttention
from mmvis_cl.fast.fast_inference import prepare_for_inference
from mmvis_cl.fast.fast_mask_former import attend, shrunk


@pytest.fixture(scope='module')
def fixture():
    return load('ctvis_r50_small')


@pytest.fixture(scope='module')
def models(fixture):
    plain = build('ctvis_r50_small', fixture)
    fast = copy.deepcopy(plain)
    prepare_for_inference(fast)
    return plain, fast


def batch(fixture, model):
    data = model.data_preprocessor(video_batch(fixture))
    return data['inputs'][0], list(data['data_samples'][0])


def test_names_of_weights_stay_and_attention_is_fast(models):
    plain, fast = models
    kept = [{n for n in m.state_dict() if '.backbone.' not in n} for m in models]  # norms are fused
    assert kept[0] == kept[1]
    pixels = fast.detector.panoptic_head.pixel_decoder
    assert any(isinstance(m, FastDeformableAttention) for m in pixels.modules())
    assert not any(isinstance(m, FastDeformableAttention) for m in plain.modules())


def test_states_scores_and_masks_of_kept_queries_are_the_plain_ones(fixture, models):
    plain, fast = models
    inputs, samples = batch(fixture, plain)
    expected = plain.query_states(inputs, samples)
    found = fast.query_states(inputs, samples)
    torch.testing.assert_close(found.states, expected.states, atol=2e-3, rtol=0)
    torch.testing.assert_close(found.cls_scores[-1], expected.cls_scores[-1], atol=2e-3, rtol=0)
    assert len(found.masks) == 1 and found.masks[0].shape[1] == 64  # features, no masks
    for t in range(len(samples)):
        index, prob = fast.detector.confident_queries(found, t)
        wanted, theirs = plain.detector.confident_queries(expected, t)
        assert index.tolist() == wanted.tolist()
        torch.testing.assert_close(prob, theirs, atol=1e-4, rtol=0)
        masks = fast.detector.mask_logits(found, t, index, (100, 150))
        of_plain = plain.detector.mask_logits(expected, t, index, (100, 150))
        torch.testing.assert_close(masks, of_plain, atol=5e-3, rtol=0)
        boxes = [
            m.detector.query_boxes(s, t, index, logits)
            for m, s, logits in ((fast, found, masks), (plain, expected, of_plain))
        ]
        torch.testing.assert_close(*boxes, atol=0.05, rtol=0)


def test_tracks_are_those_of_the_plain_model(fixture, models):
    results = []
    for model in models:
        inputs, samples = batch(fixture, model)
        session = model.start_video('video', len(inputs), (100, 150))
        model.track_frames(session, inputs, samples)
        results.append(session.result.tracks)
    ours, theirs = results
    assert [t[:2] for t in ours] == [t[:2] for t in theirs] and ours
    for one, other in zip(ours, theirs, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-3)


def test_raw_outputs_have_the_masks_of_all_queries(fixture, models):
    _, fast = models
    data = fast.data_preprocessor(video_batch(fixture))
    with torch.no_grad():
        outputs = fast(**data, mode='tensor')
    assert outputs['pred_masks'].shape == fixture['pred_masks'].shape


def test_attention_is_pytorchs():
    torch.manual_seed(0)
    attention = torch.nn.MultiheadAttention(16, 4, batch_first=True).eval()
    queries, keys, values = (torch.randn(2, n, 16) for n in (3, 5, 5))
    seen = torch.rand(2, 3, 5) > 0.4
    seen[..., 0] = True
    closed = (~seen)[:, None].expand(2, 4, 3, 5).flatten(0, 1)
    with torch.no_grad():
        expected = attention(queries, keys, values, attn_mask=closed)[0]
        torch.testing.assert_close(attend(attention, queries, keys, values, seen), expected)


@pytest.mark.parametrize('size', [(16, 24), (8, 12), (4, 6), (5, 7)])
def test_features_shrink_as_pytorch_has_it(size):
    features = torch.randn(2, 3, 32, 48)
    expected = F.interpolate(features, size, mode='bilinear', align_corners=False)
    torch.testing.assert_close(shrunk(features, size), expected)


def test_a_query_that_sees_nothing_sees_everything(fixture):
    """As in the plain one: with mask embeddings of 0 but for a constant below 0 all are closed."""
    plain = build('ctvis_r50_small', fixture)
    head = plain.detector.panoptic_head
    with torch.no_grad():
        head.mask_embed[4].weight.zero_()
        head.mask_embed[4].bias.fill_(-1.0)
        head.pixel_decoder.mask_feature.weight.zero_()
        head.pixel_decoder.mask_feature.bias.fill_(1.0)
    fast = copy.deepcopy(plain)
    prepare_for_inference(fast)
    inputs, samples = torch.randn(1, 3, 64, 96), [frame_sample((64, 96))]
    expected, found = (model.query_states(inputs, samples) for model in (plain, fast))
    assert (expected.masks[-1] < 0).all() and found.states.isfinite().all()
    torch.testing.assert_close(found.states, expected.states, atol=1e-3, rtol=0)


def test_bfloat16_leaves_the_head_in_float32(fixture):
    model = build('ctvis_r50_small', fixture)
    model.test_cfg = dict(model.test_cfg, autocast='bfloat16')
    prepare_for_inference(model)
    states = model.query_states(*batch(fixture, model))
    assert states.states.dtype == states.cls_scores[-1].dtype == torch.float32
    assert states.states.isfinite().all()
    assert next(model.detector.backbone.parameters()).dtype == torch.bfloat16
    assert next(model.detector.panoptic_head.parameters()).dtype == torch.float32


def test_it_cannot_be_recorded(fixture):
    model = build('ctvis_r50_small', fixture)
    model.test_cfg = dict(model.test_cfg, cuda_graph=True)
    with pytest.raises(InputError, match='a QueryMaskFormer cannot be recorded'):
        prepare_for_inference(model)
