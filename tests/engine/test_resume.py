"""A run that was interrupted and resumed ends with the weights of one that was not."""

import random
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.runner import Runner, find_latest_checkpoint
from torch import nn

from mmvis_cl.datasets.seeded_sampler import SeededInfiniteSampler, seed_sample
from mmvis_cl.engine import IterationSeedHook, PeakMemoryHook, WholeCheckpointHook, cli
from mmvis_cl.errors import InputError

TRAIN = Path(__file__).parents[2] / 'tools' / 'train.py'


class NoisyData(torch.utils.data.Dataset):
    """Samples that are 'augmented' with all three generators."""

    def __init__(self, bad_after=None):
        self.loaded = []
        self.bad_after = bad_after

    def __len__(self):
        return 5

    def __getitem__(self, index):
        seed_sample(index)
        if len(self.loaded) == self.bad_after:
            raise InputError('x.jpg: truncated')
        self.loaded.append(int(index))
        noise = random.random() + np.random.rand() + torch.rand(3)
        return dict(x=noise + index, y=torch.tensor([float(index % 2)]))


class NoisyModel(BaseModel):
    """Draws random numbers of its own, as dropout and sampled negatives do."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1))

    def init_weights(self):
        torch.manual_seed(0)
        for layer in (self.net[0], self.net[2]):
            layer.reset_parameters()

    def forward(self, x, y, mode='tensor'):
        out = self.net(x) * (1 + np.random.rand()) * (1 + random.random())
        return dict(loss=(out - y).square().mean())


def build(
    work_dir, max_iters, resume=False, num_workers=0, seeded=True, bad_after=None, **checkpoints
):
    return Runner(
        model=NoisyModel(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            dataset=NoisyData(bad_after),
            batch_size=2,
            collate_fn=dict(type='default_collate'),
            num_workers=num_workers,
            sampler=dict(type=SeededInfiniteSampler, shuffle=True),
        ),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=max_iters),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-2)),
        param_scheduler=dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=8),
        default_hooks=dict(
            checkpoint=dict(
                dict(type=WholeCheckpointHook, by_epoch=False, interval=4), **checkpoints
            )
        ),
        custom_hooks=[dict(type=IterationSeedHook)] if seeded else [],
        randomness=dict(seed=3),
        resume=bool(resume),
        load_from=resume if isinstance(resume, str) else None,
        log_level='ERROR',
        experiment_name=f'{work_dir.name}_{max_iters}_{bool(resume)}',
    )


def weights_of(runner):
    return torch.cat([p.flatten() for p in runner.model.parameters()]).detach()


def end_workers(runner):
    """The garbage collector would close their queues first, and wait five seconds for each."""
    runner.train_loop.dataloader_iterator = None


def run(*args, **kwargs):
    runner = build(*args, **kwargs)
    runner.train()
    end_workers(runner)
    return weights_of(runner), runner.train_dataloader.dataset.loaded


@pytest.mark.parametrize('num_workers', [0, 2])
def test_resuming_is_exact(tmp_path, num_workers):
    whole, _ = run(tmp_path / 'whole', 8, num_workers=num_workers)
    half, _ = run(tmp_path / 'parts', 4, num_workers=num_workers)
    resumed, _ = run(tmp_path / 'parts', 8, resume=True, num_workers=num_workers)
    assert not torch.equal(half, whole)
    assert torch.equal(resumed, whole)


def test_the_number_of_workers_does_not_matter(tmp_path):
    assert torch.equal(run(tmp_path / 'none', 5)[0], run(tmp_path / 'two', 5, num_workers=2)[0])


def test_without_the_hook_it_would_not_be_exact(tmp_path):
    # With a worker, for else the seeds of the samples reach the model as well.
    whole, _ = run(tmp_path / 'whole', 8, num_workers=1, seeded=False)
    run(tmp_path / 'parts', 4, num_workers=1, seeded=False)
    resumed, _ = run(tmp_path / 'parts', 8, resume=True, num_workers=1, seeded=False)
    assert not torch.equal(resumed, whole)


def test_the_order_of_the_data_goes_on(tmp_path):
    _, whole = run(tmp_path / 'whole', 8)
    _, first = run(tmp_path / 'parts', 4)
    _, second = run(tmp_path / 'parts', 8, resume=True)
    # mmengine before 0.10.12 loads what was seen before and throws it away.
    assert first == whole[:8]
    assert second[-8:] == whole[8:]


def test_bad_input_in_the_middle_loses_nothing(tmp_path):
    whole, _ = run(tmp_path / 'whole', 8)
    # Two samples an iteration: the seventh iteration meets a broken file, two after the checkpoint.
    runner = build(tmp_path / 'parts', 8, bad_after=13)
    with pytest.raises(InputError, match='truncated'):
        runner.train()
    save_on_bad_input = runpy.run_path(str(TRAIN))['save_on_bad_input']
    save_on_bad_input(runner)
    assert find_latest_checkpoint(str(tmp_path / 'parts')).endswith('iter_6.pth')
    resumed, loaded = run(tmp_path / 'parts', 8, resume=True)
    assert torch.equal(resumed, whole)
    # It goes on with the iteration that failed, whose first sample had been loaded.
    assert loaded[-4] == runner.train_dataloader.dataset.loaded[12]


def test_nothing_is_saved_before_the_first_iteration(tmp_path):
    runner = build(tmp_path / 'parts', 8, bad_after=0)
    with pytest.raises(InputError):
        runner.train()
    runpy.run_path(str(TRAIN))['save_on_bad_input'](runner)
    assert not list((tmp_path / 'parts').glob('*.pth'))


def test_training_logs_memory_on_a_cpu(tmp_path):
    if torch.cuda.is_available():
        pytest.skip('on a GPU mmengine logs the memory of the GPU')
    runner = build(tmp_path / 'run', 2)
    runner.register_hook(PeakMemoryHook())
    runner.train()
    logged = runner.message_hub.get_scalar('train/memory').current()
    # In MiB: more than PyTorch itself takes, less than the machine has.
    assert 100 < logged < 2**20


@pytest.mark.parametrize(
    'change',
    [
        lambda saved: saved['optimizer'].update(param_groups=[]),
        lambda saved: saved.update(optimizer='text'),
        lambda saved: saved['optimizer']['state'].clear() or saved['optimizer'].pop('state'),
        lambda saved: saved.update(message_hub=dict(log_scalars=3)),
        lambda saved: saved.update(message_hub=[]),
        lambda saved: saved['meta'].update(epoch='text'),
        lambda saved: saved.pop('meta'),
    ],
)
def test_a_state_that_cannot_be_taken_up_is_one_line(tmp_path, change):
    build(tmp_path, 2).train()
    path = find_latest_checkpoint(tmp_path)
    saved = torch.load(path, weights_only=False)
    change(saved)
    torch.save(saved, path)
    runner = build(tmp_path, 4, resume=path)
    runner.register_hook(dict(type='mmvis_cl.CheckFitHook'))
    cli._resume_errors_in_one_line(runner, Config())
    with pytest.raises(InputError) as error:
        runner.train()
    assert path in str(error.value) and '\n' not in str(error.value)
