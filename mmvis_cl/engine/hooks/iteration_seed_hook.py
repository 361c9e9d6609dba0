"""Random numbers of the model that do not depend on where training was interrupted."""

import random

import numpy as np
import torch
from mmengine.hooks import Hook

from mmvis_cl.registry import HOOKS


@HOOKS.register_module()
class IterationSeedHook(Hook):
    """Seeds all generators before each training iteration, from (seed, rank, iteration).

    So dropout and sampled negatives of iteration n are the same in a run that was resumed and in
    one that was not, whatever drew random numbers in between (validation, say). No generator state
    needs to be saved, and processes draw different numbers. The data's part is done by
    ``SeededInfiniteSampler``. What cannot be repeated is the order in which a GPU's atomic
    additions are made: there, a resumed run agrees up to rounding.
    """

    def before_train(self, runner) -> None:
        """Warn if the data stream of a resumed run cannot be the one that was interrupted."""
        sampler_seed = getattr(runner.train_dataloader.sampler, 'seed', runner.seed)
        if runner.iter > 0 and sampler_seed != runner.seed:
            runner.logger.warning(
                f'the order of the data is drawn from seed {sampler_seed}, but the checkpoint is '
                f'of a run with seed {runner.seed}: training goes on, but with other samples than '
                f'without the interruption; set randomness.seed={runner.seed} to avoid that'
            )

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Seed ``random``, NumPy and PyTorch (CPU and CUDA)."""
        sequence = np.random.SeedSequence([runner.seed, runner.rank, batch_idx])
        seed = int(sequence.generate_state(1)[0])
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
