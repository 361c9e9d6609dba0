"""Weights that are cast once give what weights give that autocast casts in each pass."""

import copy

import pytest
import torch
from mmengine.config import Config
from small_model import small_model

from mmvis_cl.fast import fast_inference
from mmvis_cl.fast.fast_inference import prepare_for_inference
from mmvis_cl.fast.packed_linear import PackedLinear

SWIN = dict(
    type='mmdet.SwinTransformer',
    embed_dims=24,
    depths=(1, 1, 2, 1),
    num_heads=(2, 2, 4, 4),
    window_size=4,
    out_indices=(1, 2, 3),
    with_cp=False,
    convert_weights=False,
)


def build(backbone, precision):
    def change(cfg: Config) -> None:
        cfg.test_cfg.autocast = precision
        if backbone == 'swin':
            cfg.detector.backbone = SWIN
            cfg.detector.neck.in_channels = [48, 96, 192]

    return small_model(change).eval()


@pytest.mark.parametrize('backbone', ['resnet', 'swin'])
def test_outputs_stay_to_the_bit(backbone, monkeypatch):
    model = build(backbone, 'bfloat16')
    cast, plain = copy.deepcopy(model), copy.deepcopy(model)
    prepare_for_inference(cast)
    with monkeypatch.context() as patch:
        patch.setattr(fast_inference, 'cast_weights_once', lambda *args: None)
        prepare_for_inference(plain)
    frames = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = cast(frames[None], mode='tensor')
        expected = plain(frames[None], mode='tensor')
    for key, value in expected.items():
        assert torch.equal(found[key], value), key
    kinds = {p.dtype for p in cast.detector.backbone.parameters()}
    assert torch.bfloat16 in kinds
    in_encoder = [m for m in cast.detector.encoder.modules() if type(m) is PackedLinear]
    assert in_encoder and all(m.weight.dtype == torch.bfloat16 for m in in_encoder)
    outside = cast.detector.decoder, cast.detector.bbox_head, cast.detector.mask_head.controller
    for part in (*outside, cast.embed_head):
        assert all(p.dtype == torch.float32 for p in part.parameters())


def test_float32_stays():
    model = build('resnet', None)
    prepare_for_inference(model)
    assert all(p.dtype == torch.float32 for p in model.parameters())
