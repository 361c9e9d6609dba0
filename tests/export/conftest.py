"""A small network with random weights, and its file, written once."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from synth_weights import synth

from mmvis_cl.apis.export_model import export_model
from mmvis_cl.config_names import find_config
from mmvis_cl.registry import MODELS

CONFIG = f"""
_base_ = {str(find_config('small_moving-shapes'))!r}
# many weak detections, so that random weights give something to look at
model = dict(
    detector=dict(
        embed_dims=32, ffn_dims=32, num_queries=9, num_heads=4, test_cfg=dict(score_thr=0.0)
    ),
    tracker=dict(first_thr=0.0, new_thr=0.0),
    test_cfg=dict(result_score_thr=0.0),
)
"""


@pytest.fixture(scope='session')
def trained(tmp_path_factory):
    """Config and checkpoint."""
    folder = tmp_path_factory.mktemp('export')
    (folder / 'tiny.py').write_text(CONFIG)
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        network = MODELS.build(Config.fromfile(folder / 'tiny.py').model)
    state = {
        name: synth(name, tuple(value.shape), value.dtype)
        for name, value in network.state_dict().items()
    }
    torch.save(dict(state_dict=state), folder / 'tiny.pth')
    return folder / 'tiny.py', folder / 'tiny.pth'


@pytest.fixture(scope='session')
def exported(trained, tmp_path_factory):
    """Its ONNX file, for frames of any number and size."""
    pytest.importorskip('onnx', reason='onnx is not installed')
    pytest.importorskip('onnxruntime', reason='onnxruntime is not installed')
    pytest.importorskip('onnxscript', reason='onnxscript is not installed')
    out = tmp_path_factory.mktemp('exported') / 'tiny.onnx'
    export_model(*trained, out)
    return out
