"""The notebooks run, on moving shapes and a small network, cell by cell."""

import json
import os
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from synth_weights import synth

from mmvis_cl.config_names import find_config
from mmvis_cl.datasets.converters.moving_shapes import make_moving_shapes
from mmvis_cl.registry import MODELS

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / 'docs' / 'notebooks').glob('*.ipynb'))


@pytest.fixture(scope='module')
def small(tmp_path_factory):
    """What the first code cell of a notebook is replaced by."""
    folder = tmp_path_factory.mktemp('notebooks')
    make_moving_shapes(folder / 'shapes', train_videos=1, valid_videos=1, length=3)
    config = find_config('small_moving-shapes')
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        network = MODELS.build(Config.fromfile(config).model)
    state = {
        name: synth(name, tuple(value.shape), value.dtype)
        for name, value in network.state_dict().items()
    }
    torch.save(dict(state_dict=state), folder / 'small.pth')
    return dict(
        VIDEO=str(folder / 'shapes' / 'JPEGImages' / 'valid_0000'),
        WEIGHTS=str(folder / 'small.pth'),
        CONFIG=str(config),
        DEVICE='cpu',
        ROOT=ROOT,
        DATA=Path('data'),
        WORK=Path('work'),
        ITERATIONS=2,
        VIDEOS=2,
    )


def cells_of(path):
    content = json.loads(path.read_text())
    assert (content['nbformat'], content['nbformat_minor']) == (4, 5)
    return content['cells']


def test_there_are_three_without_outputs():
    assert [path.stem for path in NOTEBOOKS] == [
        'swap_a_part',
        'track_a_video',
        'train_on_own_videos',
    ]
    for path in NOTEBOOKS:
        for cell in cells_of(path):
            assert not cell.get('outputs') and cell.get('execution_count') is None


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path, small, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('PYTHONPATH', f'{ROOT}{os.pathsep}{os.environ.get("PYTHONPATH", "")}')
    names = {'__name__': '__main__'}
    parameters = 0
    for number, cell in enumerate(cells_of(path)):
        if cell['cell_type'] != 'code':
            continue
        source = ''.join(cell['source'])
        code = compile(source, f'{path.name}, cell {number}', 'exec')
        exec(code, names)
        if 'parameters' in cell['metadata'].get('tags', ()):
            parameters += 1
            names |= {name: value for name, value in small.items() if name in names}
    assert parameters == 1
    if path.stem == 'train_on_own_videos':
        assert (tmp_path / 'work' / 'iter_2.pth').is_file()
    elif path.stem == 'track_a_video':
        assert len(names['frames']) == 3 and names['result'].length == 3
    else:
        assert capfd.readouterr().out.count('identities') == 2
