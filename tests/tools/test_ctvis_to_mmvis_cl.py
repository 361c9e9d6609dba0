"""The converter of CTVIS's checkpoints as a user meets it."""

import json
import pickle
import runpy
import sys

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner.checkpoint import load_checkpoint
from release_fixtures import ROOT, build, load, video_batch
from synth_weights import release_state_dict

from mmvis_cl.apis import VISInferencer

TOOL = str(ROOT.parent / 'tools' / 'model_converters' / 'ctvis_to_mmvis_cl.py')


@pytest.fixture(scope='module')
def release():
    return release_state_dict(json.loads(str(load('ctvis_r50_small')['ref_keys_json'])))


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the tool; gives its output, or what is on stderr."""

    def call(*args):
        monkeypatch.setattr(sys, 'argv', [TOOL, *map(str, args)])
        try:
            runpy.run_path(TOOL, run_name='__main__')
        except SystemExit as stop:
            assert stop.code in (None, 0, 2)
            return capsys.readouterr().err.strip()
        return capsys.readouterr().out

    return call


def test_there_and_back(run, tmp_path, release):
    theirs, ours, back = (tmp_path / name for name in ('theirs.pth', 'ours.pth', 'back.pth'))
    torch.save(dict(model=release, iteration=3), theirs)
    assert 'for a config with 5 classes and 20 queries' in run(theirs, ours)
    model = build('ctvis_r50_small', load('ctvis_r50_small'))
    load_checkpoint(model, str(ours), strict=True)
    run('--reverse', ours, back)
    again = torch.load(back, weights_only=True)['model']
    assert again.keys() == release.keys()
    assert all(torch.equal(again[name], value) for name, value in release.items())
    assert "has the release's names already" in run('--reverse', theirs, tmp_path / 'x.pth')
    assert 'has our names already' in run(ours, tmp_path / 'x.pth')


@pytest.mark.parametrize('protocol', [2, 4])
def test_mask2formers_pickle_of_arrays(run, tmp_path, release, protocol):
    """As detectron2 publishes weights: no file of PyTorch's."""
    path, out = tmp_path / 'model_final.pkl', tmp_path / 'start.pth'
    coco = {name: value.numpy() for name, value in release.items() if 'reid_embed' not in name}
    content = dict(model=coco, __author__='Mask2Former', matching_heuristics=True)
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    assert 'without embeddings: to start a training from' in run(path, out)
    ours = torch.load(out, weights_only=True)['state_dict']
    expected = release['sem_seg_head.predictor.class_embed.bias']
    assert torch.equal(ours['detector.panoptic_head.cls_embed.bias'], expected)

    content['model']['sem_seg_head.predictor.names'] = np.array(['a text'])
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    assert 'predictor.names' in run(path, out)


def test_a_published_file_cannot_run_code(run, tmp_path, capsys):
    class Evil:
        def __reduce__(self):
            return (print, ('this code was run',))

    path = tmp_path / 'evil.pkl'
    path.write_bytes(pickle.dumps(dict(model={'a': Evil()})))
    assert run(path, tmp_path / 'out.pth').startswith(f'error: {path}: holds an object of type')
    assert 'this code was run' not in capsys.readouterr().out


def test_weights_are_converted_on_the_fly(tmp_path, release):
    fixture = load('ctvis_r50_small')
    fixture['frames'] = fixture['frames'][:1]
    path = tmp_path / 'release.pth'
    torch.save(dict(model=release), path)
    config = Config.fromfile(ROOT / 'configs' / 'ctvis_r50_small.py')
    config.default_scope = 'mmvis_cl'
    pipeline = [
        dict(type='TransformBroadcaster', transforms=[dict(type='LoadFrame')]),
        dict(type='PackVISInputs'),
    ]
    config.test_dataloader = dict(
        dataset=dict(type='VISDataset', classes=tuple('abcde'), pipeline=pipeline)
    )
    api = VISInferencer(config, path, 'cpu')
    result = api(list(fixture['frames']))
    assert api.classes == tuple('abcde') and result.tracks
    model = build('ctvis_r50_small', fixture)
    batch = model.data_preprocessor(video_batch(fixture))
    with torch.no_grad():
        expected = model(**batch, mode='tensor')['pred_logits']
        found = api.model(**batch, mode='tensor')['pred_logits']
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)
