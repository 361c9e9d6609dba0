"""In bfloat16 the losses, the matching and the boxes stay in float32."""

import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks
from release_fixtures import frame_sample, track_sample
from small_model import small_model


@pytest.fixture(scope='module')
def model():
    return small_model().train()


def pair():
    masks = np.zeros((2, 64, 96), np.uint8)
    masks[0, 8:30, 10:40] = masks[1, 30:60, 50:90] = 1
    samples = [
        frame_sample(
            (64, 96),
            bboxes=torch.tensor([[10.0, 8, 40, 30], [50, 30, 90, 60]]),
            labels=torch.tensor([0, 2]),
            masks=BitmapMasks(masks, 64, 96),
            instances_ids=torch.tensor([3, 7]),
        )
        for _ in range(2)
    ]
    frames = np.random.default_rng(0).integers(0, 256, (2, 3, 64, 96), np.uint8)
    return dict(inputs=[torch.from_numpy(frames)], data_samples=[track_sample(samples)])


def losses(model, dtype):
    torch.manual_seed(0)
    with torch.autocast('cpu', torch.bfloat16, enabled=dtype == torch.bfloat16):
        return model(**model.data_preprocessor(pair(), training=True), mode='loss')


def test_losses_and_gradients_are_those_of_float32(model, monkeypatch):
    seen = {}
    bbox_head, embed_head = model.detector.bbox_head, model.embed_head
    for owner, name in ((bbox_head, 'match'), (bbox_head, 'loss'), (embed_head, 'loss')):
        plain = getattr(owner, name)

        def spy(*args, plain=plain, key=(owner, name)):
            seen[key] = [a.dtype for a in args if isinstance(a, torch.Tensor)]
            return plain(*args)

        monkeypatch.setattr(owner, name, spy)
    convolutions = []
    handle = model.detector.backbone.layer1.register_forward_hook(
        lambda module, args, out: convolutions.append(out.dtype)
    )
    expected = losses(model, torch.float32)
    found = losses(model, torch.bfloat16)
    handle.remove()
    assert convolutions == [torch.float32, torch.bfloat16]  # it is on
    assert all(set(dtypes) == {torch.float32} for dtypes in seen.values()) and len(seen) == 3
    for name, value in found.items():
        assert value.dtype == torch.float32, name
        assert value.item() == pytest.approx(expected[name].item(), rel=0.05, abs=0.02), name
    model.zero_grad()
    sum(found.values()).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad.dtype == torch.float32 and parameter.grad.isfinite().all(), name


def test_embeddings_and_their_products_are_float32(model):
    states = torch.randn(3, model.detector.embed_dims)
    with torch.autocast('cpu', torch.bfloat16):
        found = model.embed_head(states)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, model.embed_head(states))
