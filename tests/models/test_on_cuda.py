"""The network and the association on a GPU, against the CPU and the release's values.

``MMVIS_CL_TEST_DEVICE=cpu`` runs them without a GPU, to see that the tests themselves are in order.
"""

import copy
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.ops import MultiScaleDeformableAttention
from mmengine.config import ConfigDict
from release_fixtures import build, load, training_batch, video_batch

from mmvis_cl.fast.fast_inference import prepare_for_inference
from mmvis_cl.models import ContrastiveVIS, DynamicMaskHead, GatherDeformableAttention
from mmvis_cl.models.detectors.deformable_detr import MaskDeformableDETR
from mmvis_cl.models.layers.mask_nms import mask_iou
from mmvis_cl.models.trackers.memory_bank_tracker import MemoryBankTracker
from mmvis_cl.ops.deformable_sums import WAYS, can_be_recorded
from mmvis_cl.ops.one_copy import to_cpu
from mmvis_cl.structures import (
    encode_logits,
    encode_masks,
    encode_with_quality,
    mask_logits_to_image,
)
from mmvis_cl.structures.frame_masks import FrameMasks

DEVICE = os.environ.get('MMVIS_CL_TEST_DEVICE', 'cuda')
DATA = Path(__file__).parents[1] / 'data'
SHAPES = [(9, 14), (5, 7), (3, 4), (1, 1)]
WAYS_OF_GPUS = 'triton', 'mmcv', 'gathered'
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(
        DEVICE == 'cuda' and not torch.cuda.is_available(), reason='there is no CUDA device'
    ),
]


@pytest.fixture(autouse=True)
def full_float32():
    """TF32 has 10 bits, with which nothing would be equal to the CPU."""
    places = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [place.allow_tf32 for place in places]
    for place in places:
        place.allow_tf32 = False
    yield
    for place, allowed in zip(places, before, strict=True):
        place.allow_tf32 = allowed


@pytest.fixture(scope='module')
def fixture():
    return load('idol_r50_hidden64')


@pytest.fixture
def model(fixture):
    return build('release_r50_hidden64', fixture).to(DEVICE)


def attention_results(module, device, padded, dtype=torch.float32):
    """Output and gradients, on the CPU, of one attention with reference boxes."""
    generator = torch.Generator().manual_seed(1)
    shapes = torch.tensor(SHAPES)
    pixels = int(shapes.prod(1).sum())
    mask = torch.zeros(2, pixels, dtype=torch.bool)
    mask[1, pixels // 2 :] = padded
    leaves = [
        torch.randn(2, n, 32, generator=generator).to(device).requires_grad_() for n in (11, pixels)
    ]
    reference = torch.rand(2, 11, 4, 4, generator=generator).to(device).requires_grad_()
    module = copy.deepcopy(module).to(device)
    with torch.autocast(torch.device(device).type, dtype, enabled=dtype != torch.float32):
        output = module(
            query=leaves[0],
            value=leaves[1],
            key_padding_mask=mask.to(device),
            reference_points=reference,
            spatial_shapes=shapes.to(device),
            level_start_index=torch.cat((shapes.new_zeros(1), shapes.prod(1).cumsum(0)[:-1])).to(
                device
            ),
        )
    (
        output.float() * torch.linspace(-1, 1, output.numel()).view_as(output).to(device)
    ).sum().backward()
    gradients = {name: p.grad for name, p in module.named_parameters()}
    gradients |= dict(query=leaves[0].grad, value=leaves[1].grad, reference=reference.grad)
    return {name: t.detach().float().cpu() for name, t in dict(gradients, output=output).items()}


@pytest.fixture
def plain_attention():
    torch.manual_seed(0)
    module = MultiScaleDeformableAttention(
        embed_dims=32, num_heads=4, num_levels=4, dropout=0.0, batch_first=True
    )
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module


def summing(plain_attention, way):
    """The same attention, ours, whose values are summed by this way."""
    known = WAYS[way]
    if not known.takes(torch.device(DEVICE), torch.float32):
        pytest.skip(f"attention='{way}' takes {known.what}")
    trouble = known.trouble((8, 4, 16), torch.device(DEVICE))
    if trouble:
        pytest.skip(trouble)
    ours = copy.deepcopy(plain_attention)
    ours.__class__ = GatherDeformableAttention
    ours.way = way
    return ours


@pytest.mark.parametrize('padded', [False, True])
@pytest.mark.parametrize('way', WAYS_OF_GPUS)
def test_attention_equals_mmcvs_on_the_cpu(plain_attention, way, padded):
    expected = attention_results(plain_attention, 'cpu', padded)
    ours = summing(plain_attention, way)
    found = attention_results(ours, DEVICE, padded)
    assert found.keys() == expected.keys() and len(found) == 12
    for name, value in expected.items():
        scale = value.abs().max()
        torch.testing.assert_close(
            found[name] / scale, value / scale, rtol=1e-4, atol=1e-4, msg=name
        )


@pytest.mark.parametrize('way', WAYS_OF_GPUS)
def test_attention_in_bfloat16_is_near(plain_attention, way):
    ours = summing(plain_attention, way)
    expected = attention_results(ours, DEVICE, True)['output']
    found = attention_results(ours, DEVICE, True, torch.bfloat16)['output']
    near = (found - expected).norm() / expected.norm()
    assert 0 < near < 0.05


def test_mask_head_equals_the_cpu():
    torch.manual_seed(0)
    head = DynamicMaskHead(embed_dims=32, feat_channels=4)
    maps = [torch.randn(2, 32, s, s + 3) for s in (12, 6, 3)]
    states, centers = torch.randn(5, 32), 64 * torch.rand(5, 2)
    with torch.no_grad():
        features = head.mask_features(maps)
        expected = head(features[1], states, centers)
        head.to(DEVICE)
        features = head.mask_features([level.to(DEVICE) for level in maps])
        found = head(features[1], states.to(DEVICE), centers.to(DEVICE)).cpu()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_masks_of_the_original_size_equal_the_cpu():
    logits = torch.randn(4, 24, 40, generator=torch.Generator().manual_seed(0))
    expected = mask_logits_to_image(logits, (90, 150), (180, 300))
    found = mask_logits_to_image(logits.to(DEVICE), (90, 150), (180, 300))
    different = (found.cpu() != expected).float().mean()
    assert different < 1e-4  # where a logit is 0 but for rounding
    assert encode_masks(found) == encode_masks(found.cpu())
    assert encode_logits(logits.to(DEVICE), (90, 150), (180, 300)) == encode_masks(found.cpu())


def test_masks_that_come_in_one_copy_are_those_drawn_one_by_one():
    noise = torch.randn(7, 1, 24, 40, generator=torch.Generator().manual_seed(0))
    logits = torch.nn.functional.avg_pool2d(noise, 7, 1, 3)[:, 0]
    sizes, chosen = ((90, 150), (180, 300)), torch.tensor([4, 0, 6])
    masks = FrameMasks(logits.to(DEVICE), *sizes, quality=True, ahead=DEVICE == 'cpu' or None)
    iou, *drawn = to_cpu(mask_iou(logits.to(DEVICE) > 0), *masks.drawn())
    torch.testing.assert_close(iou, mask_iou(logits > 0), rtol=1e-5, atol=1e-6)
    assert len(drawn) == 3
    found, quality = masks.encode(chosen, drawn)
    expected, of_expected = encode_with_quality(logits[chosen], *sizes)
    assert found == expected
    np.testing.assert_allclose(quality, of_expected, rtol=1e-5)


@pytest.mark.parametrize('prepared', [False, True])
def test_raw_outputs_are_the_releases(fixture, model, prepared):
    if prepared:
        prepare_for_inference(model)
    with torch.no_grad():
        outputs = model(**model.data_preprocessor(video_batch(fixture)), mode='tensor')
    names = dict(pred_inst_embed='pred_embeds')
    for theirs in ('pred_logits', 'pred_boxes', 'pred_masks', 'pred_inst_embed'):
        found = outputs[names.get(theirs, theirs)].cpu().numpy()
        expected = fixture[theirs].reshape(found.shape)
        np.testing.assert_allclose(
            found, expected, rtol=0, atol=1e-3 * np.abs(expected).max(), err_msg=theirs
        )


def test_losses_are_the_releases(fixture, model):
    data = model.data_preprocessor(training_batch(fixture), training=True)
    model.train()
    losses = model(**data, mode='loss')
    names = dict(ce='cls', giou='iou', reid='embed')
    for name, expected in json.loads(str(fixture['losses_json'])).items():
        kind, _, layer = name.removeprefix('loss_').partition('_')
        if kind == 'reid' and layer == 'aux':
            continue  # random
        ours = (f'd{layer}.' if layer else '') + f'loss_{names.get(kind, kind)}'
        assert losses[ours].item() == pytest.approx(expected, rel=1e-3), ours


def test_a_training_step_in_bfloat16_is_finite_and_near(fixture, model):
    data = model.data_preprocessor(training_batch(fixture), training=True)
    model.train()
    sums = {}
    for dtype in (torch.float32, torch.bfloat16):
        model.zero_grad()
        with torch.autocast(torch.device(DEVICE).type, dtype, enabled=dtype != torch.float32):
            losses = model(**data, mode='loss')
        total = sum(value for name, value in losses.items() if name != 'loss_embed_aux')
        total.backward()
        assert all(torch.isfinite(value).all() for value in losses.values())
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        assert gradients and all(torch.isfinite(gradient).all() for gradient in gradients)
        sums[dtype] = total.item()
    assert sums[torch.bfloat16] == pytest.approx(sums[torch.float32], rel=0.1)


def test_the_same_identities_as_on_the_cpu(fixture, model):
    def tracked(model):
        data = model.data_preprocessor(video_batch(fixture))
        (frames,), (sample,) = data['inputs'], data['data_samples']
        session = model.start_video(0, len(frames), sample[0].ori_shape)
        model.track_frames(session, frames, list(sample))
        return session.result.tracks

    expected, found = tracked(build('release_r50_hidden64', fixture)), tracked(model)
    assert expected
    assert [track.label for track in found] == [track.label for track in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-3)
        seen, expected_seen = ([rle is not None for rle in t.segmentations] for t in (one, other))
        assert seen == expected_seen


@pytest.mark.parametrize('autocast', [None, 'bfloat16'])
def test_a_cuda_graph_gives_what_single_operations_give(fixture, model, autocast):
    data = model.data_preprocessor(video_batch(fixture))
    (frames,), (sample,) = data['inputs'], data['data_samples']
    prepare_for_inference(model, fuse_bn=False)
    results = []
    for graph in (False, True):
        model.test_cfg = dict(model.test_cfg, autocast=autocast, cuda_graph=graph)
        results.append(  # recorded at the second, repeated from then on
            [model.query_states(frames[t : t + 1], [sample[t]]) for t in (0, 1, 0, 1)]
        )
    recorded = DEVICE == 'cuda' and can_be_recorded('auto', torch.device(DEVICE))
    assert len(model._graphs._replays) == recorded
    for one, other in zip(*results, strict=True):
        for name in ('logits', 'boxes', 'states'):
            torch.testing.assert_close(
                getattr(one, name), getattr(other, name), rtol=1e-4, atol=1e-4, msg=name
            )


def test_the_releases_identities_from_the_releases_outputs():
    recorded = np.load(DATA / 'track_a.npz')
    meta = json.loads(str(recorded['meta_json']))
    logits, boxes, masks, embeds = (
        torch.from_numpy(recorded[f'pred_{k}'].astype(np.float32)).to(DEVICE)
        for k in ('logits', 'boxes', 'masks', 'inst_embed')
    )
    detector, model = (cls.__new__(cls) for cls in (MaskDeformableDETR, ContrastiveVIS))
    for module in (detector, model):
        torch.nn.Module.__init__(module)
    detector.test_cfg = ConfigDict(score_thr=meta['select_thr'], nms_iou_thr=0.9)
    model.test_cfg = dict(mask_nms_thr=0.5, result_score_thr=0.05)
    model.tracker = MemoryBankTracker(
        **{k: meta[k] for k in ('memory_len', 'frame_weight', 'temporal_weight')}
    )
    answers = []
    track = model.tracker.track

    def logged(*args):
        answers.append(track(*args))
        return answers[-1]

    model.tracker.track = logged
    session = model.start_video('video', len(logits), meta['ori_shape'])
    for t in range(len(logits)):
        index, prob = detector.select_queries(logits[t], boxes[t])
        session.add_frame(
            prob, boxes[t, index], embeds[t, index], masks[t, index, 0], meta['img_shape']
        )
    expected = [ids for _, ids in json.loads(str(recorded['frame_log_json']))]
    assert [ids.tolist() for ids, _ in answers] == expected
    assert answers[-1][1].embeds.device.type == 'cpu'
    assert [track.label for track in session.result.tracks] == recorded['labels'].tolist()
