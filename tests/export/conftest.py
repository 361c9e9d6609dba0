"""Small networks with random weights, and their files, each written once."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from synth_weights import synth

from mmvis_cl.apis import export_model
from mmvis_cl.config_names import find_config
from mmvis_cl.registry import MODELS

# Many weak detections, so that random weights give something to look at.
DETR = f"""
_base_ = {str(find_config('small_moving-shapes'))!r}
model = dict(
    detector=dict(
        embed_dims=32, ffn_dims=32, num_queries=9, num_heads=4, num_decoder_layers=1,
        backbone=dict(base_channels=8, stem_channels=8),
        neck=dict(in_channels=[16, 32, 64]),
        test_cfg=dict(score_thr=0.0),
    ),
    tracker=dict(first_thr=0.0, new_thr=0.0),
    test_cfg=dict(result_score_thr=0.0),
)
"""
MASK_FORMER = f"""
_base_ = {str(find_config('ctvis/small_moving-shapes'))!r}
model = dict(
    detector=dict(
        backbone=dict(base_channels=8, stem_channels=8),
        panoptic_head=dict(
            in_channels=[8, 16, 32, 64], embed_dims=32, num_heads=4, num_queries=9,
            encoder_ffn_dims=32, decoder_ffn_dims=32, num_encoder_layers=1, num_decoder_layers=3,
        ),
        test_cfg=dict(score_thr=0.0),
    ),
    tracker=dict(first_thr=0.0, new_thr=0.0),
    test_cfg=dict(mask_nms_thr=1.0),
)
"""


def made(folder, name, text):
    """A config and a checkpoint of random weights."""
    config, checkpoint = folder / f'{name}.py', folder / f'{name}.pth'
    config.write_text(text)
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        network = MODELS.build(Config.fromfile(config).model)
    state = {
        name: synth(name, tuple(value.shape), value.dtype)
        for name, value in network.state_dict().items()
    }
    torch.save(dict(state_dict=state), checkpoint)
    return config, checkpoint


@pytest.fixture(scope='session')
def trained(tmp_path_factory):
    """Config and checkpoint of a Deformable DETR with dynamic masks."""
    return made(tmp_path_factory.mktemp('trained'), 'detr', DETR)


@pytest.fixture(scope='session')
def trained_mask_former(tmp_path_factory):
    """Config and checkpoint of CTVIS's network."""
    return made(tmp_path_factory.mktemp('trained'), 'ctvis', MASK_FORMER)


def needs_onnx():
    for name in ('onnx', 'onnxruntime', 'onnxscript'):
        pytest.importorskip(name, reason=f'{name} is not installed')


@pytest.fixture(scope='session')
def exported(trained, tmp_path_factory):
    """The ONNX file of the DETR, for frames of any number and size."""
    needs_onnx()
    out = tmp_path_factory.mktemp('exported') / 'detr.onnx'
    assert export_model(*trained, out) == [out]
    return out


@pytest.fixture(scope='session')
def exported_mask_former(trained_mask_former, tmp_path_factory):
    """The ONNX file of CTVIS's network, for one frame of one size."""
    needs_onnx()
    out = tmp_path_factory.mktemp('exported') / 'ctvis.onnx'
    export_model(*trained_mask_former, out, size=(112, 187), batch=1)
    return out
