"""tools/visualization/browse_dataset.py: what it draws, and what it says about a wrong folder."""

import runpy
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.registry import DefaultScope

from mmvis_cl.datasets.moving_shapes import make_moving_shapes
from mmvis_cl.visualization import identity_colors

REPO = Path(__file__).parents[2]
TOOL = REPO / 'tools' / 'visualization' / 'browse_dataset.py'
CONFIG = REPO / 'configs' / '_base_' / 'datasets' / 'moving_shapes.py'


@pytest.mark.parametrize('split', ['train', 'val'])
def test_draws_pairs_in_matching_colours(tmp_path, monkeypatch, split):
    make_moving_shapes(tmp_path / 'shapes', train_videos=2, valid_videos=2, length=4)
    options = f'{split}_dataloader.dataset.data_root={tmp_path / "shapes"}'
    argv = [TOOL, CONFIG, '--split', split, '--num', 2, '--out-dir', tmp_path / 'out']
    monkeypatch.setattr(sys, 'argv', [*map(str, argv), '--cfg-options', options])
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        runpy.run_path(str(TOOL), run_name='__main__')
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
