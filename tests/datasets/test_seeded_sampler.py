import itertools
import pickle
import random

import numpy as np
import torch
from mmengine.dataset import InfiniteSampler

from mmvis_cl.datasets.seeded_sampler import SampleIndex, SeededInfiniteSampler, seed_sample


def stream(n, rank=0, world_size=1, **kwargs):
    sampler = SeededInfiniteSampler(range(7), **dict(dict(seed=5), **kwargs))
    sampler.rank, sampler.world_size = rank, world_size
    return [(int(i), i.seed) for i in itertools.islice(sampler, n)]


def draw():
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_the_order_is_mmengines():
    ours = [index for index, _ in stream(30)]
    assert ours == list(itertools.islice(InfiniteSampler(range(7), seed=5), 30))
    assert [index for index, _ in stream(9, shuffle=False)] == [0, 1, 2, 3, 4, 5, 6, 0, 1]


def test_every_sample_has_its_own_seed():
    seeds = [seed for _, seed in stream(200)]
    assert len(set(seeds)) == 200
    assert stream(200) == stream(200)
    assert not set(seeds) & {seed for _, seed in stream(200, seed=6)}


def test_the_stream_does_not_depend_on_the_number_of_processes():
    parts = [stream(10, rank=rank, world_size=3) for rank in range(3)]
    assert [x for group in zip(*parts, strict=True) for x in group] == stream(30)


def test_the_seed_reaches_workers_and_passes_wrappers():
    index = pickle.loads(pickle.dumps(SampleIndex(12, seed=99)))
    for changed, value in ((index, 12), (index - 5, 7), (index % 5, 2)):
        assert (changed, changed.seed) == (value, 99)


def test_a_seeded_sample_is_the_same_whatever_came_before():
    seed_sample(SampleIndex(3, seed=1))
    first = draw()
    assert draw() != first
    seed_sample(SampleIndex(4, seed=1))
    assert draw() == first
    seed_sample(SampleIndex(4, seed=2))
    assert draw() != first


def test_a_plain_index_seeds_nothing():
    seed_sample(SampleIndex(0, seed=1))
    first = draw()
    seed_sample(SampleIndex(0, seed=1))
    seed_sample(0)
    seed_sample((0, 1))
    assert draw() == first
