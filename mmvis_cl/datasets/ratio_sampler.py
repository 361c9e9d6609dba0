"""Sampling from several data sets in a given ratio."""

from collections.abc import Iterator, Sequence, Sized

import numpy as np
import torch

from mmvis_cl.errors import InputError
from mmvis_cl.registry import DATA_SAMPLERS

from .seeded_sampler import SeededInfiniteSampler


@DATA_SAMPLERS.register_module()
class RatioSampler(SeededInfiniteSampler):
    """A :class:`SeededInfiniteSampler` that draws from several data sets in a given ratio.

    Each draw chooses a data set by chance, then takes the next sample of that set's own endless
    stream. So the shares do not depend on how large the sets are, within a set every sample comes
    once before any comes a second time, and every process sees the same mixture.

    Args:
        dataset (Sized): mmengine's or mmdet's ``ConcatDataset``.
        ratio (Sequence[float]): a number above 0 for each of its data sets, in their order; [3, 1]
            takes three samples of the first for one of the second.
        per_batch (int): each process draws a data set anew after so many samples: with
            the loader's ``batch_size`` a batch is of one data set.
        **kwargs: Arguments of :class:`SeededInfiniteSampler`.

    Raises:
        InputError: there is not one positive number for each data set, their classes differ, or
            ``per_batch`` is below 1.
    """

    def __init__(
        self, dataset: Sized, ratio: Sequence[float], per_batch: int = 1, **kwargs
    ) -> None:
        parts = getattr(dataset, 'datasets', None)
        if parts is None:
            raise InputError(
                f'RatioSampler: the data set is a {type(dataset).__name__}; give a ConcatDataset '
                'of several, or take SeededInfiniteSampler'
            )
        if isinstance(dataset.metainfo, list):
            raise InputError(
                'RatioSampler: the data sets do not have the same classes; give them the same list '
                "(or ConcatDataset ignore_keys=['classes'] if only the spelling differs)"
            )
        if len(ratio) != len(parts) or min(ratio) <= 0:
            raise InputError(
                f'RatioSampler: ratio={list(ratio)} for {len(parts)} data sets; give one number '
                'above 0 for each'
            )
        if per_batch < 1:
            raise InputError(f'RatioSampler: per_batch={per_batch}; give at least 1')
        super().__init__(dataset, **kwargs)
        self.per_batch = per_batch
        self.ratio = list(ratio)
        self.sizes = [len(part) for part in parts]

    def _infinite_indices(self) -> Iterator[int]:
        ends = np.cumsum(self.sizes).tolist()
        streams = [
            self._indices_of_part(part, end - size, size)
            for part, (end, size) in enumerate(zip(ends, self.sizes, strict=True))
        ]
        choice = self._generator(len(streams))
        weights = torch.tensor(self.ratio, dtype=torch.float64)
        while True:
            for part in self._parts(weights, choice):
                yield next(streams[part])

    def _parts(self, weights: torch.Tensor, choice: torch.Generator) -> Iterator[int]:
        """Which data set some samples are of, those of all processes in turn."""
        if self.per_batch == 1:
            yield from torch.multinomial(weights, 1024, replacement=True, generator=choice).tolist()
            return
        of_process = torch.multinomial(weights, self.world_size, True, generator=choice).tolist()
        yield from of_process * self.per_batch

    def _indices_of_part(self, part: int, start: int, size: int) -> Iterator[int]:
        generator = self._generator(part)
        while True:
            order = torch.randperm(size, generator=generator) if self.shuffle else range(size)
            yield from (start + int(i) for i in order)

    def _generator(self, number: int) -> torch.Generator:
        seed = np.random.SeedSequence([self.seed, number]).generate_state(1)[0]
        return torch.Generator().manual_seed(int(seed))
