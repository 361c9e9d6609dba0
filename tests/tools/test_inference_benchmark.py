"""The benchmarks of the network compare like with like."""

import runpy
import sys
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parents[2] / 'tools' / 'benchmarks'


@pytest.fixture(scope='module')
def inference(import_benchmark):
    return import_benchmark('inference')


@pytest.fixture(scope='module')
def video(inference):
    return inference.Video((64, 96), 3, 'cpu')


@pytest.fixture(scope='module')
def model(inference, video):
    return inference.make_model('small', video, 10)


def test_as_many_queries_are_kept_as_asked_for(model, video):
    states = model.query_states(*video.frames(0, 1))
    kept, _ = model.detector.select_queries(states.logits[-1, 0], states.boxes[-1, 0])
    assert len(kept) == 10


@torch.no_grad()
def test_masks_by_grouped_convolutions(inference, model):
    head = model.detector.mask_head
    features, states = torch.randn(8, 8, 12), torch.randn(5, 96)
    centers = torch.rand(5, 2) * 64
    expected = head(features, states, centers)
    found = inference.grouped_masks(head, features, states, centers)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-4)


@torch.no_grad()
def test_all_ways_give_the_same_tracks(inference, model, video):
    variants = inference.make_variants(model, video, clip=2)
    low = next(name for name in variants if 'bfloat16' in name)
    counts = {name: run(of, video) for name, (of, run) in variants.items() if name != low}
    assert len(set(counts.values())) == 1
    assert min(counts.values()) > 0
    expected = inference.outputs(model, video)
    for name, (of, _) in variants.items():
        assert inference.difference(of, video, expected) < (0.05 if name == low else 1e-5)


def test_the_whole_command(inference, capsys, monkeypatch):
    command = '--network small --size 64 96 --frames 2 --clip 2 --repeat 1 --kept 5 --no-growth'
    monkeypatch.setattr(sys, 'argv', ['inference.py', *command.split(), '--no-memory'])
    inference.main()
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split('|')[1].strip() for line in lines if line.startswith('|')]
    assert inference.RELEASE in rows
    assert inference.DEFAULT in rows
    assert 'encoder' in rows


def test_attention(capsys, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['attention.py', '--repeat', '1', '--sizes', '1'])
    monkeypatch.syspath_prepend(str(FOLDER))
    runpy.run_path(str(FOLDER / 'attention.py'), run_name='__main__')
    rows = [
        line for line in capsys.readouterr().out.splitlines() if 'layer' in line or 'coder' in line
    ]
    assert len(rows) == 4
    assert all(float(cell) < 1e-5 for row in rows for cell in row.split('|')[-3:-1])
