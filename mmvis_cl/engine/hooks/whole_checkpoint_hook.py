"""Checkpoints that a kill at any moment leaves one of."""

import os
from collections.abc import Callable
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import BaseStorageBackend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mmvis_cl.engine.checkpoints import name_last_checkpoint, remove_unfinished
from mmvis_cl.registry import HOOKS


@HOOKS.register_module()
class WholeCheckpointHook(CheckpointHook):
    """mmengine's hook, which removes old checkpoints when the new one is on the disk, not before.

    ``tools/train.py`` puts it in the place of each ``CheckpointHook``. The settings are the same.
    """

    def before_train(self, runner) -> None:
        """Also removes the halves that processes left which were killed."""
        super().before_train(runner)
        if is_main_process():
            for folder in {runner.work_dir, str(self.out_dir)}:
                remove_unfinished(folder)

    def _save_checkpoint_with_step(self, runner, step: int, meta: dict) -> None:
        outdated = []
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                outdated = [self.keep_ckpt_ids.popleft()]
            self.keep_ckpt_ids.append(step)
            # With one too many: a run that is killed before it is removed does so when resumed.
            runner.message_hub.update_info('keep_ckpt_ids', [*outdated, *self.keep_ckpt_ids])

        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            name_last_checkpoint(runner, self.last_ckpt)
            for old in outdated:
                path = self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(old))
                if self.file_backend.isfile(path):
                    self.file_backend.remove(path)
                elif self.file_backend.isdir(path):  # DeepSpeed's are folders
                    self.file_backend.rmtree(path)

    def _save_best_checkpoint(self, runner, metrics: dict) -> None:
        backend, self.file_backend = self.file_backend, _RemovesLater(self.file_backend)
        try:
            super()._save_best_checkpoint(runner, metrics)
            removals = self.file_backend.removals
        finally:
            self.file_backend = backend
        best = [*getattr(self, 'best_ckpt_path_dict', {}).values()]
        best.append(getattr(self, 'best_ckpt_path', None))
        for remove, path in removals:
            if path not in best:  # a run that was resumed may have saved it once more
                remove(path)


def save_now(runner: Runner, iteration: int) -> str:
    """Save a checkpoint between two of the hook's, in its place: as many are kept as ever.

    Args:
        runner: Of the training.
        iteration: How many are done.

    Returns:
        Its path.
    """
    # `iter` is given because save_checkpoint() counts the iteration under way as done.
    meta = dict(iter=iteration, epoch=runner.epoch)
    for hook in runner.hooks:
        if isinstance(hook, WholeCheckpointHook) and not hook.by_epoch and hook.save_optimizer:
            path = hook.file_backend.join_path(hook.out_dir, hook.filename_tmpl.format(iteration))
            if hook.last_ckpt != path:  # a file of this name alone may be of an earlier training
                hook._save_checkpoint_with_step(runner, iteration, meta)
            return path
    path = os.path.join(runner.work_dir, f'iter_{iteration}.pth')
    runner.save_checkpoint(runner.work_dir, os.path.basename(path), meta=meta, by_epoch=False)
    if is_main_process():
        name_last_checkpoint(runner, path)
    return path


class _RemovesLater:
    """A file backend that only takes down what is to be removed."""

    def __init__(self, backend: BaseStorageBackend) -> None:
        self.backend = backend
        self.removals: list[tuple[Callable, str]] = []

    def remove(self, path: str) -> None:
        self.removals.append((self.backend.remove, path))

    def rmtree(self, path: str) -> None:
        self.removals.append((self.backend.rmtree, path))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)
