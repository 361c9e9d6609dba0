"""Sampling whose random choices depend on the position in the stream alone."""

import itertools
import random
from collections.abc import Iterator

import numpy as np
import torch
from mmengine.dataset import InfiniteSampler

from mmvis_cl.registry import DATA_SAMPLERS


class SampleIndex(int):
    """An index into a data set that carries the seed of its sample's augmentation.

    Dataset wrappers that shift or wrap indices (mmengine's ``ConcatDataset``, ``RepeatDataset``)
    do so with ``-`` and ``%``; the seed goes along.
    """

    def __new__(cls, index: int, seed: int) -> 'SampleIndex':
        self = super().__new__(cls, index)
        self.seed = seed
        return self

    def __getnewargs__(self):  # for the way to a worker process
        return int(self), self.seed

    def __sub__(self, other: int) -> 'SampleIndex':
        return SampleIndex(int(self) - other, self.seed)

    def __mod__(self, other: int) -> 'SampleIndex':
        return SampleIndex(int(self) % other, self.seed)


def seed_sample(index: int) -> None:
    """Seed ``random``, NumPy and PyTorch (CPU) for one sample; a data set calls it before loading.

    Args:
        index: What the sampler gave. Does nothing unless it is a :class:`SampleIndex`.
    """
    if isinstance(index, SampleIndex):
        random.seed(index.seed)
        np.random.seed(index.seed)
        torch.default_generator.manual_seed(index.seed)


@DATA_SAMPLERS.register_module()
class SeededInfiniteSampler(InfiniteSampler):
    """mmengine's ``InfiniteSampler`` that gives each sample a seed of its own.

    The seed is made from the sampler's seed and the sample's position in the endless stream of all
    processes. So what a sample looks like depends on neither the number of workers, nor what they
    loaded before, nor where training was interrupted: together with ``IterationSeedHook``, a
    resumed run goes on exactly as the uninterrupted one.

    The data set has to call :func:`seed_sample` with the index it gets; ``VISDataset`` does.

    Args:
        dataset (Sized): The data set.
        shuffle (bool): Whether to shuffle.
        seed (int, optional): Of the order and of the samples. mmengine fills in the config's
            ``randomness.seed``.
    """

    def _indices_of_rank(self) -> Iterator[SampleIndex]:
        stream = itertools.islice(
            enumerate(self._infinite_indices()), self.rank, None, self.world_size
        )
        for position, index in stream:
            seed = np.random.SeedSequence([self.seed, position]).generate_state(1)[0]
            yield SampleIndex(index, int(seed))
