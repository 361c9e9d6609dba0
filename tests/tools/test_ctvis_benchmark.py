"""The benchmark of CTVIS compares what gives the same."""

import sys

import pytest
import torch
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttention
from release_fixtures import ROOT

CONFIG = str(ROOT.parent / 'configs' / 'ctvis' / 'small_moving-shapes.py')


@pytest.fixture(scope='module')
def ctvis(import_benchmark):
    return import_benchmark('ctvis')


def test_both_ways_find_the_same(ctvis, monkeypatch):
    monkeypatch.setattr(ctvis, 'H', 90)
    monkeypatch.setattr(ctvis, 'W', 150)
    monkeypatch.setattr(ctvis, 'PADDED', (96, 160))
    theirs = ctvis.Video(ctvis.build(CONFIG, their_way=True), 2)
    shift = ctvis.shift_that_keeps_some(theirs.model, theirs)
    with torch.no_grad():
        theirs.model.detector.panoptic_head.cls_embed.bias[-1] += shift
    ours = ctvis.Video(ctvis.build(CONFIG, False, shift), 2)
    plain = [m for m in theirs.model.modules() if type(m) is MultiScaleDeformableAttention]
    assert plain and not any(type(m) is MultiScaleDeformableAttention for m in ours.model.modules())
    assert torch.equal(theirs.frames, ours.frames)
    states = theirs.model.query_states(theirs.frames, theirs.samples)
    kept, _ = theirs.model.detector.confident_queries(states, 0)
    assert 1 <= len(kept) <= ctvis.KEPT + 2
    assert theirs.their_way() == ours.ours() > 0


def test_its_tables(ctvis, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(ctvis, 'memory_of', lambda *args: asked.append(args[1:]) or 100.0 * args[3])
    arguments = ['--config', CONFIG, '--frames', '1', '--repeat', '1', '--lengths', '2', '4']
    monkeypatch.setattr(sys, 'argv', ['ctvis.py', *arguments])
    threads = torch.get_num_threads()
    ctvis.main()
    torch.set_num_threads(threads)
    out = capsys.readouterr().out
    assert '| seconds a frame | its own way | ours | ratio |' in out
    assert '| ours | 200 | 400 | 100.0 |' in out and '| operation of ours |' in out
    assert [(way, length) for way, _, length in asked] == [
        (True, 2),
        (True, 4),
        (False, 2),
        (False, 4),
    ]
