"""The converter of mmdet's checkpoints as a user meets it."""

import runpy
import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from release_fixtures import ROOT

from mmvis_cl.registry import MODELS

TOOL = str(ROOT.parent / 'tools' / 'model_converters' / 'mmdet_to_mmvis_cl.py')


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the tool; gives its output, or the exit code and what is on stderr."""

    def call(*args):
        monkeypatch.setattr(sys, 'argv', [TOOL, *map(str, args)])
        try:
            runpy.run_path(TOOL, run_name='__main__')
        except SystemExit as stop:
            return stop.code, capsys.readouterr().err.strip()
        return capsys.readouterr().out

    return call


@pytest.fixture(scope='module')
def state():
    """Of mmdet's detector, as our small network without what it has beyond it."""
    cfg = Config.fromfile(ROOT / 'configs' / 'release_r50_hidden64.py').model
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        model = MODELS.build(cfg.detector)
    for branch in model.bbox_head.reg_branches:
        torch.nn.init.normal_(branch[0].weight)
    torch.nn.init.normal_(model.level_embed)
    return {
        name: value
        for name, value in model.state_dict().items()
        if not name.startswith('mask_head.') and not name.endswith('.conv.bias')
    }


def test_whole_network_and_backbone(run, tmp_path, state):
    path, out = tmp_path / 'in.pth', tmp_path / 'out.pth'
    torch.save(dict(state_dict=state, meta=dict(epoch=50, dataset_meta=dict(A=('a', 'b')))), path)
    biases = {
        f'neck.{conv}.conv.bias' for conv in ('convs.0', 'convs.1', 'convs.2', 'extra_convs.0')
    }
    whole = state.keys() | biases
    backbone = {name for name in state if name.startswith('backbone.')}
    for options, names, prefix in (
        ((), whole, 'detector.'),
        (('--image-network',), whole, ''),
        (('--backbone',), backbone, 'detector.'),
        (('--backbone', '--image-network'), backbone, ''),
    ):
        said = run(path, out, *options)
        assert ('5 classes, 120 queries' in said) == ('--backbone' not in options)
        found = torch.load(out, weights_only=True)['state_dict']
        assert found.keys() == {prefix + name for name in names}
        for name in names:
            value = found[prefix + name]
            assert torch.equal(value, state[name]) if name in state else not value.any()
    assert sorted(p.name for p in tmp_path.iterdir()) == ['in.pth', 'out.pth']


class Evil:
    def __reduce__(self):
        return (print, ('this code was run',))


def test_errors(run, tmp_path, state, capsys):
    path, out = tmp_path / 'in.pth', tmp_path / 'out.pth'

    def error_of(*args):
        code, error = run(*args)
        assert code == 2 and '\n' not in error and not out.exists()
        return error.removeprefix('error: ')

    assert error_of(path, out) == f'{path}: there is no such checkpoint'
    torch.save(dict(state_dict=state, message_hub=Evil()), path)
    assert '--trust-checkpoint' in error_of(path, out)
    assert 'this code was run' not in capsys.readouterr().out
    assert 'names as detector.' in run(path, out, '--trust-checkpoint')
    out.unlink()
    torch.save({name: v for name, v in state.items() if name != 'level_embed'}, path)
    assert error_of(path, out).startswith(f'{path}: not the weights of a Deformable DETR with one')
    assert 'IN and OUT are the same file' in error_of(path, path)
    assert 'there is no folder' in error_of(path, tmp_path / 'no' / 'out.pth')
