"""The converter as a user meets it, and what the tools say to an unconverted file."""

import json
import runpy
import sys

import pytest
import torch
from mmengine.runner.checkpoint import load_checkpoint
from release_fixtures import ROOT, build, load
from synth_weights import release_state_dict

TOOL = str(ROOT.parent / 'tools' / 'model_converters' / 'release_to_mmvis_cl.py')


@pytest.fixture(scope='module')
def release():
    keys = json.loads(str(load('idol_r50_hidden64')['ref_keys_json']))
    return release_state_dict(keys)


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


@pytest.mark.parametrize('kind', ['bare', 'model', 'training'])
def test_there_and_back(run, tmp_path, release, kind):
    theirs, ours, back = (tmp_path / name for name in ('theirs.pth', 'ours.pth', 'back.pth'))
    content = release
    if kind != 'bare':
        content = dict(model=release)
    if kind == 'training':  # as detectron2 saves it
        parameter = torch.nn.Parameter(torch.zeros(3))
        optimizer = torch.optim.AdamW([parameter])
        parameter.sum().backward()
        optimizer.step()
        content |= dict(
            optimizer=optimizer.state_dict(), scheduler=dict(last_epoch=3), iteration=12
        )
    torch.save(content, theirs)
    assert 'for a config with 5 classes and 120 queries' in run(theirs, ours)

    model = build('release_r50_hidden64', load('idol_r50_hidden64'))
    for parameter in model.parameters():
        parameter.data.zero_()
    load_checkpoint(model, str(ours), strict=True)
    assert model.detector.level_embed.equal(release['detr.detr.transformer.level_embed'])

    run('--reverse', ours, back)
    again = torch.load(back, weights_only=True)['model']
    assert again.keys() == release.keys()
    assert all(torch.equal(again[name], value) for name, value in release.items())
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        'back.pth',
        'ours.pth',
        'theirs.pth',
    ]


class Evil:
    def __reduce__(self):
        return (print, ('this code was run',))


def test_a_published_file_cannot_run_code(run, tmp_path, release, capsys):
    path = tmp_path / 'evil.pth'
    torch.save(dict(model=release, extra=Evil()), path)
    code, error = run(path, tmp_path / 'out.pth')
    assert code == 2 and error.startswith(f'error: {path}: holds an object of type ')
    assert 'print' in error and '\n' not in error
    assert 'this code was run' not in capsys.readouterr().out
    assert not (tmp_path / 'out.pth').exists()


def test_wrong_and_partial_files(run, tmp_path, release):
    out = tmp_path / 'out.pth'

    def error_of(content, *args):
        path = tmp_path / 'in.pth'
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            torch.save(content, path)
        code, error = run(path, out, *args)
        assert code == 2 and '\n' not in error and not out.exists()
        prefix = f'error: {path}: '
        assert error.startswith(prefix)
        return error.removeprefix(prefix)

    damaged = 'not a PyTorch checkpoint, or '
    assert error_of(b'').startswith('is empty')
    assert error_of(b'<html>sign in</html>').startswith('is a web page')
    torch.save(release, tmp_path / 'whole.pth')
    whole = (tmp_path / 'whole.pth').read_bytes()
    assert error_of(whole[: len(whole) // 2]).startswith(damaged)
    assert error_of([1, 2]).startswith('holds a list, not a state dict')
    assert error_of({}).startswith("no state dict, neither under 'model'")
    assert 'not a tensor: iteration' in error_of(dict(iteration=3))
    assert error_of(dict(model=3)).startswith("no state dict, neither under 'model'")

    partial = dict(release)
    del partial['detr.detr.query_embed.weight']
    message = 'not a complete checkpoint of the release: of 447 names 1 missing ('
    assert error_of(partial).startswith(message + 'detr.detr.query_embed.weight)')
    resnet = {'layer1.0.conv1.weight': torch.zeros(1)}
    assert error_of(resnet).startswith('not the weights of this model on a ResNet or a Swin')

    ours = {'detector.level_embed': torch.zeros(4, 8)}
    assert error_of(dict(state_dict=ours)).startswith('has our names already; add --reverse')
    assert error_of(ours).startswith('has our names already; add --reverse')
    assert error_of(release, '--reverse').startswith("has the release's names already; leave out")
    assert 'the names are detector.level_embed' in error_of(ours, '--reverse')


def test_paths(run, tmp_path, release):
    path = tmp_path / 'in.pth'
    assert run(path, tmp_path / 'out.pth') == (2, f'error: {path}: there is no such checkpoint')
    torch.save(release, path)
    assert 'IN and OUT are the same file' in run(path, path)[1]
    assert 'there is no folder' in run(path, tmp_path / 'no' / 'out.pth')[1]


def test_checkpoints_of_a_training_need_trust(run, tmp_path, release):
    torch.save(release, tmp_path / 'theirs.pth')
    run(tmp_path / 'theirs.pth', tmp_path / 'ours.pth')
    trained = torch.load(tmp_path / 'ours.pth', weights_only=True)
    trained['message_hub'] = Evil()
    torch.save(trained, tmp_path / 'trained.pth')
    args = ('--reverse', tmp_path / 'trained.pth', tmp_path / 'back.pth')
    code, error = run(*args)
    assert code == 2 and '--trust-checkpoint' in error
    assert 'tensors' in run(*args, '--trust-checkpoint')
    again = torch.load(tmp_path / 'back.pth', weights_only=True)['model']
    assert all(torch.equal(again[name], value) for name, value in release.items())
