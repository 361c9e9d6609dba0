"""A training writes its losses and scores where TensorBoard reads them."""

import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from mmvis_cl.datasets.converters.moving_shapes import make_moving_shapes
from mmvis_cl.registry import VISUALIZERS

event_accumulator = pytest.importorskip(
    'tensorboard.backend.event_processing.event_accumulator',
    reason='pip install tensorboard',
)


def test_scalars_of_a_training(tmp_path):
    visualizer = VISUALIZERS.build(
        dict(
            type='Visualizer',
            name='of_test_tensorboard',
            save_dir=str(tmp_path),
            vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')],
        )
    )
    visualizer.add_config(Config(dict(a=1)))
    for step in (1, 2, 3):
        visualizer.add_scalars({'loss': 4.0 / step, 'youtube_vis/AP': step / 10}, step=step)
    visualizer.close()
    log = event_accumulator.EventAccumulator(str(tmp_path / 'vis_data'))
    log.Reload()
    losses = [(event.step, event.value) for event in log.Scalars('loss')]
    assert losses == [(1, 4.0), (2, 2.0), (3, pytest.approx(4 / 3))]
    assert [event.step for event in log.Scalars('youtube_vis/AP')] == [1, 2, 3]


def test_a_training_with_a_logger(tmp_path):
    """Losses, scores and tracked frames of ``tools/train.py --logger tensorboard``."""
    root = Path(__file__).parents[2]
    data = tmp_path / 'shapes'
    make_moving_shapes(data, train_videos=2, valid_videos=1, length=3)
    options = ['train_cfg.max_iters=2', 'train_cfg.val_interval=2']
    options += [
        'model.detector.num_queries=8',
        'model.detector.test_cfg.score_thr=0.0',
        'model.tracker.first_thr=0.0',
        'default_hooks.logger.interval=1',
        'train_dataloader.batch_size=1',
    ]
    options += [f'{split}_evaluator.ann_file={data}/valid.json' for split in ('val', 'test')]
    for split in ('train', 'val', 'test'):
        options += [
            f'{split}_dataloader.dataset.data_root={data}/',
            f'{split}_dataloader.num_workers=0',
            f'{split}_dataloader.persistent_workers=False',
        ]
    config = str(root / 'configs' / 'vis_cl' / 'small_moving-shapes.py')
    words = [config, '--work-dir', str(tmp_path / 'work'), '--logger', 'tensorboard']
    # a visualizer of this process may be there already, and is used again
    command = [sys.executable, str(root / 'tools' / 'train.py'), *words, '--cfg-options']
    done = subprocess.run([*command, *options], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    (folder,) = {path.parent for path in (tmp_path / 'work').rglob('events.out.tfevents.*')}
    log = event_accumulator.EventAccumulator(str(folder))
    log.Reload()
    assert [event.step for event in log.Scalars('loss')] == [1, 2]
    assert [event.step for event in log.Scalars('youtube_vis/AP')] == [2]
    assert set(log.Tags()['images']) == {f'video_1/frame_{t:04}' for t in range(3)}
