"""A training writes its losses and scores where TensorBoard reads them."""

import pytest
from mmengine.config import Config

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
