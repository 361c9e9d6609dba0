"""tools/visualization/browse_dataset.py: what it draws, and what it says about a wrong folder."""

import runpy
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from coco_files import write_coco
from mmengine.registry import DefaultScope

from mmvis_cl.datasets.converters.moving_shapes import make_moving_shapes
from mmvis_cl.visualization import identity_colors

REPO = Path(__file__).parents[2]
TOOL = REPO / 'tools' / 'visualization' / 'browse_dataset.py'
CONFIG = REPO / 'configs' / '_base_' / 'datasets' / 'moving_shapes.py'


def browse(monkeypatch, config, *options):
    monkeypatch.setattr(sys, 'argv', [str(option) for option in (TOOL, config, *options)])
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        runpy.run_path(str(TOOL), run_name='__main__')


@pytest.mark.parametrize('split', ['train', 'val'])
def test_draws_pairs_in_matching_colours(tmp_path, monkeypatch, split):
    make_moving_shapes(tmp_path / 'shapes', train_videos=2, valid_videos=2, length=4)
    options = f'{split}_dataloader.dataset.data_root={tmp_path / "shapes"}'
    arguments = ['--split', split, '--num', 2, '--out-dir', tmp_path / 'out']
    browse(monkeypatch, CONFIG, *arguments, '--cfg-options', options)
    files = sorted((tmp_path / 'out').iterdir())
    assert [file.name for file in files] == [f'{split}_{i:03d}.png' for i in range(2)]
    for file in files:
        sheet = cv2.imread(str(file))[..., ::-1]
        middle = sheet.shape[1] // 2
        left, right = sheet[:, : middle - 3], sheet[:, middle + 3 :]
        assert left.shape == right.shape
        # Box outlines are in the identity's full colour, so a colour must show in both frames.
        assert any(
            min((np.all(side == color, -1)).sum() for side in (left, right)) > 100
            for color in identity_colors(range(20))
        )


def test_a_wrong_folder_is_one_line(tmp_path):
    options = f'train_dataloader.dataset.data_root={tmp_path}'
    done = subprocess.run(
        [sys.executable, TOOL, CONFIG, '--cfg-options', options], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1] == (
        f'error: {tmp_path}/train.json: the annotation file is missing; '
        'check data_root and ann_file'
    )
    assert 'Traceback' not in done.stderr


def test_draws_pseudo_pairs(tmp_path, monkeypatch):
    write_coco(tmp_path / 'coco')
    options = f'train_dataloader.dataset.data_root={tmp_path / "coco"}'
    config = REPO / 'configs' / 'vis_cl' / 'r50_coco-pseudo.py'
    arguments = ['--num', 3, '--out-dir', tmp_path / 'out', '--cfg-options', options]
    browse(monkeypatch, config, *arguments)
    files = sorted((tmp_path / 'out').iterdir())
    assert len(files) == 3
    both = differ = 0
    for file in files:
        sheet = cv2.imread(str(file))[..., ::-1]
        middle = sheet.shape[1] // 2
        left, right = sheet[:, : middle - 3], sheet[:, middle + 3 :]
        assert left.shape == right.shape and (sheet[:, middle - 3 : middle + 3] == 255).all()
        both += any(
            min((np.all(side == color, -1)).sum() for side in (left, right)) > 100
            for color in identity_colors(range(3))
        )
        differ += not np.array_equal(left, right)
    assert both >= 2 and differ == 3


def test_draws_single_images(tmp_path, monkeypatch):
    write_coco(tmp_path / 'coco')
    options = f'train_dataloader.dataset.data_root={tmp_path / "coco"}'
    config = REPO / 'configs' / 'vis_cl' / 'r50_coco.py'
    arguments = ['--num', 3, '--out-dir', tmp_path / 'out', '--cfg-options', options]
    browse(monkeypatch, config, *arguments)
    sheets = [cv2.imread(str(file))[..., ::-1] for file in sorted((tmp_path / 'out').iterdir())]
    assert len(sheets) == 3
    for sheet in sheets:
        assert any(np.all(sheet == color, -1).sum() > 100 for color in identity_colors(range(3)))


@pytest.mark.parametrize(
    'name, message',
    [
        ('r50_coco', 'the pipeline loads no annotations, so there is nothing to draw'),
        ('r50_coco-pseudo', 'has no val_dataloader; try the other --split'),
    ],
)
def test_nothing_to_draw_is_one_line(tmp_path, monkeypatch, capsys, name, message):
    write_coco(tmp_path / 'coco')
    options = [] if 'pseudo' in name else [f'val_dataloader.dataset.data_root={tmp_path / "coco"}']
    config = REPO / 'configs' / 'vis_cl' / f'{name}.py'
    arguments = ['--split', 'val', '--num', 1, '--out-dir', tmp_path / 'out']
    with pytest.raises(SystemExit) as end:
        browse(monkeypatch, config, *arguments, *(['--cfg-options', *options] if options else []))
    assert end.value.code == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
