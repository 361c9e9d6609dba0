"""The same recipe on any number of batches that make up the total one."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel, MMDistributedDataParallel
from mmengine.runner import Runner
from torch import nn

from mmvis_cl.datasets.seeded_sampler import SeededInfiniteSampler
from mmvis_cl.engine import AccumulatingTrainLoop
from mmvis_cl.errors import InputError


class Data(torch.utils.data.Dataset):
    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.x = torch.randn(24, 3, generator=generator)
        self.y = torch.randn(24, 1, generator=generator)

    def __len__(self):
        return 24

    def __getitem__(self, index):
        return dict(x=self.x[index], y=self.y[index], index=int(index))


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))

    def init_weights(self):
        torch.manual_seed(0)
        for layer in (self.net[0], self.net[2]):
            layer.reset_parameters()

    def forward(self, x, y, index, mode='tensor'):
        return dict(loss=(self.net(x) - y).square().mean())


class Notes(Hook):
    """What hooks see, step by step."""

    def __init__(self):
        self.steps, self.rates, self.norms, self.losses, self.indices = [], [], [], [], []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.steps.append(batch_idx)
        self.rates.append(runner.optim_wrapper.get_lr()['lr'][0])
        self.norms.append(runner.message_hub.get_scalar('train/grad_norm').current())
        self.losses.append(float(outputs['loss']))
        batches = data_batch if isinstance(data_batch, list) else [data_batch]
        self.indices.append(sorted(i for batch in batches for i in batch['index'].tolist()))


def build(
    work_dir, batch_size, loop=None, max_iters=6, resume=False, num_workers=0, model=None, **cfg
):
    loop = loop or dict(type=AccumulatingTrainLoop, total_batch_size=8)
    return Runner(
        model=model or Model(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            dataset=Data(),
            batch_size=batch_size,
            num_workers=0,
            collate_fn=dict(type='default_collate'),
            sampler=dict(type=SeededInfiniteSampler, shuffle=True),
        ),
        train_cfg=dict(**loop, max_iters=max_iters),
        optim_wrapper=dict(
            optimizer=dict(type='AdamW', lr=1e-2), clip_grad=dict(max_norm=0.1, norm_type=2)
        ),
        param_scheduler=dict(type='MultiStepLR', by_epoch=False, milestones=[3], gamma=0.1),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2, max_keep_ckpts=-1)
        ),
        custom_hooks=[Notes()],
        randomness=dict(seed=3),
        resume=resume,
        log_level='ERROR',
        experiment_name=f'{Path(work_dir).name}_{max_iters}_{resume}',
        **cfg,
    )


def run(*args, **kwargs):
    runner = build(*args, **kwargs)
    runner.train()
    notes = next(hook for hook in runner.hooks if isinstance(hook, Notes))
    weights = torch.cat([p.flatten() for p in runner.model.parameters()]).detach()
    return weights, notes


def test_equals_whole_batches_of_mmengine(tmp_path):
    """Weights, schedule, clipping, checkpoints and logs, for every size that divides the batch."""
    plain = dict(type='IterBasedTrainLoop')
    weights, expected = run(tmp_path / 'whole', 8, loop=plain)
    assert expected.rates[:3] == [1e-2] * 3 and expected.rates[-1] == pytest.approx(1e-3)
    assert min(expected.norms) > 0.1  # so every step is clipped
    for batch_size in (8, 4, 2, 1):
        mine, notes = run(tmp_path / f'{batch_size}', batch_size)
        assert torch.allclose(mine, weights, atol=1e-6)
        assert notes.steps == expected.steps == list(range(6))
        assert notes.rates == expected.rates
        assert notes.norms == pytest.approx(expected.norms, rel=1e-4)
        assert notes.losses == pytest.approx(expected.losses, rel=1e-4)
        assert notes.indices == expected.indices
        files = {path.name for path in (tmp_path / f'{batch_size}').glob('*.pth')}
        assert files == {'iter_2.pth', 'iter_4.pth', 'iter_6.pth'}
    # Not so without accumulation.
    small, _ = run(tmp_path / 'small', 2, loop=plain)
    assert not torch.allclose(small, weights, atol=1e-4)


def test_resuming_is_exact(tmp_path):
    whole, expected = run(tmp_path / 'whole', 2)
    half, first = run(tmp_path / 'parts', 2, max_iters=4)
    resumed, second = run(tmp_path / 'parts', 2, resume=True)
    assert not torch.equal(half, whole)
    assert torch.equal(resumed, whole)
    assert first.indices + second.indices == expected.indices
    assert second.steps == [4, 5]


def test_samples_of_a_step_do_not_depend_on_the_number_of_processes():
    """What each process would see: its shares of a step make up the same samples."""
    data = Data()
    whole = SeededInfiniteSampler(data, seed=1)
    stream = iter(whole)
    expected = [[next(stream) for _ in range(8)] for _ in range(3)]
    for processes in (2, 4):
        samplers = []
        for rank in range(processes):
            sampler = SeededInfiniteSampler(data, seed=1)
            sampler.rank, sampler.world_size = rank, processes
            samplers.append(iter(sampler._indices_of_rank()))
        for step in expected:
            share = [next(sampler) for sampler in samplers for _ in range(8 // processes)]
            assert sorted((int(i), i.seed) for i in share) == sorted((int(i), i.seed) for i in step)


def test_processes_exchange_gradients_once_a_step(tmp_path):
    weights, _ = run(tmp_path / 'plain', 2, max_iters=3)
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group('gloo', store=store, rank=0, world_size=1)
    try:
        model = MMDistributedDataParallel(Model(), device_ids=None)
        exchanges = []

        def count(state, bucket):
            exchanges.append(bucket.index())
            future = torch.futures.Future()
            future.set_result(bucket.buffer())
            return future

        model.register_comm_hook(None, count)
        wrapped, _ = run(tmp_path / 'wrapped', 2, max_iters=3, model=model)
    finally:
        torch.distributed.destroy_process_group()
    assert torch.allclose(wrapped, weights, atol=1e-7)
    assert exchanges == [0] * 3  # twelve batches, three steps


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(batch_size=3), r'total_batch_size is 8, which is no multiple of 3 \(1 processes'),
        (dict(batch_size=16), 'is 8, which is no multiple of 16'),
        (
            dict(batch_size=2, auto_scale_lr=dict(enable=True, base_batch_size=8)),
            'auto_scale_lr.enable: the batch is 8 on any number of GPUs',
        ),
        (
            dict(batch_size=2, cfg=Config(dict(optim_wrapper=dict(accumulative_counts=4)))),
            'optim_wrapper.accumulative_counts: .* accumulates already',
        ),
    ],
)
def test_settings_that_contradict_it(tmp_path, settings, message):
    with pytest.raises(InputError, match=message):
        build(tmp_path, **settings).train()
