"""Frames of a size that was had before give what they give a network that sees them first."""

import copy

import pytest
import torch
from mmdet.structures import DetDataSample
from small_model import small_model

from mmvis_cl.fast.fast_inference import prepare_for_inference
from mmvis_cl.fast.kept_geometry import SIZES_KEPT

# frames whose batch is padded, of other sizes, or not at all
SHAPES = [(96, 150), (96, 160), (90, 160), (64, 96), (33, 40), (96, 150)]


@pytest.fixture
def detector():
    model = small_model()
    for layer in model.detector.encoder.layers:  # fresh ones do not look at positions
        torch.nn.init.normal_(layer.self_attn.sampling_offsets.weight)
    prepare_for_inference(model, fuse_bn=False, convs_channels_last=False, packed_linear=False)
    return model.detector.eval()


def states(detector, shape, frames=1):
    h, w = (-(-side // 32) * 32 for side in shape)
    inputs = torch.randn(frames, 3, h, w, generator=torch.Generator().manual_seed(sum(shape)))
    samples = [DetDataSample(metainfo=dict(img_shape=shape)) for _ in range(frames)]
    return detector.query_states(inputs, samples)


def assert_equal(found, expected):
    for a, b in zip(found[:4], expected[:4], strict=True):
        assert torch.equal(a, b)


@torch.no_grad()
def test_sizes_in_turns(detector):
    for shape in SHAPES * 2:
        for frames in (1, 2):
            fresh = copy.deepcopy(detector)
            fresh._kept, fresh.encoder._kept = {}, []
            assert_equal(states(detector, shape, frames), states(fresh, shape, frames))
    assert len(detector._kept) == len(detector.encoder._kept) == SIZES_KEPT


@torch.no_grad()
def test_a_copy_keeps_its_own(detector):
    """Its tensors are others, whose places in memory can have been those of the first's."""
    expected = states(detector, SHAPES[0])
    twin = copy.deepcopy(detector)
    assert_equal(states(twin, SHAPES[0]), expected)
    ours, theirs = ({id(t) for kept in of.encoder._kept for t in kept} for of in (detector, twin))
    assert ours and theirs and not ours & theirs


def test_learned_parts_are_not_those_of_before(detector):
    with torch.no_grad():
        before = states(detector, SHAPES[0])
        detector.level_embed += 1
        after = states(detector, SHAPES[0])
    assert not torch.equal(before.states, after.states)
    # a training step after a validation of the same size
    trained = states(detector, SHAPES[0])
    assert_equal(trained, after)
    trained.states.sum().backward()
    assert detector.level_embed.grad.abs().sum() > 0
    for layer in detector._kept.values():
        assert not any(t.requires_grad for part in layer for t in part.values())


def test_kept_in_inference_mode_serves_without(detector):
    with torch.inference_mode():
        expected = states(detector, SHAPES[0])
    with torch.no_grad():
        assert_equal(states(detector, SHAPES[0]), expected)
