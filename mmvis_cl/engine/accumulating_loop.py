"""The same batch on any number of GPUs."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from mmengine.optim import OptimWrapper
from mmengine.runner import IterBasedTrainLoop
from torch import nn

from mmvis_cl.errors import InputError
from mmvis_cl.registry import LOOPS


@LOOPS.register_module()
class AccumulatingTrainLoop(IterBasedTrainLoop):
    """An iteration is one step of the optimiser on ``total_batch_size`` samples.

    Each process takes as many batches of its loader as it needs for its share, and adds up their
    gradients, each divided by the number of batches; then the gradient is clipped and the step is
    made. So ``max_iters``, the schedule, checkpoints, validation and logs count steps, and a recipe
    is the same on one GPU and on eight. (With ``optim_wrapper.accumulative_counts`` all of them
    would count batches, and would have to be changed with it.) With ``SeededInfiniteSampler``
    iteration n sees the same samples on any number of processes. What differs: a loss that is
    divided by a number of objects takes that of its own batch.

    Args:
        total_batch_size: Samples in an iteration, of all processes together; a multiple of
            processes * ``train_dataloader.batch_size``.
        **kwargs: Arguments of mmengine's ``IterBasedTrainLoop``: ``max_iters``, ``val_begin``, ...

    Raises:
        InputError: If the total cannot be reached with whole batches, or another setting would
            make up for the number of GPUs a second time.
    """

    def __init__(self, runner, dataloader, total_batch_size: int, **kwargs) -> None:
        super().__init__(runner, dataloader, **kwargs)
        batch_size = self.dataloader.batch_sampler.batch_size
        at_once = batch_size * runner.world_size
        self.num_parts, rest = divmod(total_batch_size, at_once)
        if rest or self.num_parts == 0:
            raise InputError(
                f'train_cfg.total_batch_size is {total_batch_size}, which is no multiple of '
                f'{at_once} ({runner.world_size} processes with train_dataloader.batch_size='
                f'{batch_size}); change one of them'
            )
        if (runner.auto_scale_lr or {}).get('enable'):
            raise InputError(
                f'auto_scale_lr.enable: the batch is {total_batch_size} on any number of GPUs '
                '(train_cfg.total_batch_size), so there is nothing to scale; leave it out'
            )
        if runner.cfg.get('optim_wrapper', {}).get('accumulative_counts', 1) != 1:
            raise InputError(
                'optim_wrapper.accumulative_counts: train_cfg.total_batch_size accumulates '
                'already; leave it out'
            )
        self.dataloader_iterator = _Groups(self.dataloader_iterator, self.num_parts)
        if self.num_parts > 1:
            runner.logger.info(
                f'an iteration is one step on {total_batch_size} samples: {self.num_parts} batches '
                f'of {batch_size} on each of {runner.world_size} processes, accumulated'
            )

    def run_iter(self, data_batch: list[dict]) -> None:
        """One step of the optimiser.

        Args:
            data_batch: The batches of the loader that make up this process's share; hooks get them
                as they are, and the means of their outputs.
        """
        runner = self.runner
        runner.call_hook('before_train_iter', batch_idx=self._iter, data_batch=data_batch)
        outputs = []
        for index, part in enumerate(data_batch):
            last = index == self.num_parts - 1
            step = _Part(runner.optim_wrapper, self.num_parts, last)
            outputs.append(runner.model.train_step(part, optim_wrapper=step))
        means = {
            key: torch.stack([torch.as_tensor(output[key]).detach() for output in outputs]).mean(0)
            for key in outputs[0]
        }
        runner.call_hook(
            'after_train_iter', batch_idx=self._iter, data_batch=data_batch, outputs=means
        )
        self._iter += 1


class _Groups:
    """Several batches of an iterator at a time."""

    def __init__(self, iterator: Iterator, size: int) -> None:
        self.iterator, self.size = iterator, size

    def __next__(self) -> list:
        return [next(self.iterator) for _ in range(self.size)]

    def skip_iter(self, num_iter: int) -> None:
        """For a resumed run. mmengine before 0.10.12 calls ``next`` instead."""
        self.iterator.skip_iter(num_iter * self.size)


class _Part:
    """What a model's ``train_step`` sees of an optimiser while gradients are accumulated."""

    def __init__(self, optim_wrapper: OptimWrapper, num_parts: int, last: bool) -> None:
        self.optim_wrapper, self.num_parts, self.last = optim_wrapper, num_parts, last

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Mixed precision; gradients are exchanged between processes in the last part alone."""
        wait = nullcontext() if self.last or not hasattr(model, 'no_sync') else model.no_sync()
        with wait, self.optim_wrapper.optim_context(model):
            yield

    def update_params(self, loss: torch.Tensor) -> None:
        """Add to the gradients; in the last part make the step."""
        self.optim_wrapper.backward(loss / self.num_parts)
        if self.last:
            self.optim_wrapper.step()
            self.optim_wrapper.zero_grad()
