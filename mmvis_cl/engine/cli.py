"""What ``tools/train.py`` and ``tools/test.py`` share."""

import functools
import json
import os
import sys

import torch
from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mmvis_cl.checkpoints.reader import check_file
from mmvis_cl.config.build_errors import (
    build_errors_in_one_line,
    check_checkpoint_hook,
    explain,
)
from mmvis_cl.config.read import load_config as load_config
from mmvis_cl.engine.hooks.whole_checkpoint_hook import WholeCheckpointHook
from mmvis_cl.errors import InputError, shortened
from mmvis_cl.errors import one_line_errors as one_line_errors  # tools import it here
from mmvis_cl.files import whole_file
from mmvis_cl.processes import start_worker
from mmvis_cl.registry import RUNNERS
from mmvis_cl.threads import set_threads, warn_if_busy


def check_checkpoint_file(path: str) -> None:
    """Make sure that a checkpoint is there and whole.

    Args:
        path: Of the file. Remote ones (``https://`` and the like) are left to mmengine.

    Raises:
        InputError: If it is missing, cut off, or no checkpoint.
    """
    if '://' not in path:
        check_file(path)


def build_runner(cfg: Config) -> Runner:
    """Build the runner; on a machine without a GPU, several processes talk by gloo.

    Args:
        cfg: From :func:`load_config`.

    Returns:
        The runner.

    Raises:
        InputError: If a launcher is asked for that cannot start processes on CPUs, or a setting is
            wrong.
    """
    warn_if_busy(set_threads())
    if cfg.launcher != 'none' and not torch.cuda.is_available():
        if cfg.launcher != 'pytorch':
            raise InputError(
                f'--launcher {cfg.launcher}: no GPU was found, and on CPUs only '
                '--launcher pytorch (torchrun) works; see tools/dist_train.sh'
            )
        if 'RANK' not in os.environ:
            raise InputError('--launcher pytorch: start it with torchrun, as tools/dist_train.sh')
        # mmengine's own start of the processes selects a GPU, and its wrapper asks for one.
        torch.distributed.init_process_group('gloo')
        wrapper = cfg.get('model_wrapper_cfg') or dict(
            type='MMDistributedDataParallel',
            broadcast_buffers=False,
            find_unused_parameters=cfg.get('find_unused_parameters', False),
        )
        cfg.model_wrapper_cfg = dict(wrapper, device_ids=None)
    with build_errors_in_one_line(cfg):
        runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    _let_workers_end_with_this_process(runner)
    _resume_errors_in_one_line(runner, cfg)
    for hook in runner.hooks:
        if type(hook) is CheckpointHook:  # the default, or named by the user
            hook.__class__ = WholeCheckpointHook
    check_checkpoint_hook(runner.hooks, runner.save_checkpoint)
    if runner.distributed and not torch.cuda.is_available():
        runner.logger.info(
            f'no GPU: {runner.world_size} processes on CPUs, connected by gloo instead of '
            f'{cfg.get("env_cfg", {}).get("dist_cfg", {}).get("backend", "nccl")}'
        )
    return runner


def _let_workers_end_with_this_process(runner: Runner) -> None:
    """For the data loaders of all loops, also those with a ``worker_init_fn`` of the config's.

    The runner builds them when they are needed, with a ``worker_init_fn`` that knows its seed.
    """
    build = runner.build_dataloader

    @functools.wraps(build)
    def build_and_watch(*args, **kwargs):
        loader = build(*args, **kwargs)
        loader.worker_init_fn = functools.partial(start_worker, then=loader.worker_init_fn)
        return loader

    runner.build_dataloader = build_and_watch


def _resume_errors_in_one_line(runner: Runner, cfg: Config) -> None:
    """Of a state that optimizer, schedulers or logs cannot take."""
    resume = runner.resume

    @functools.wraps(resume)
    def resume_or_say(filename: str, *args, **kwargs) -> None:
        try:
            resume(filename, *args, **kwargs)
        except (OSError, InputError):
            raise
        except Exception as error:  # what is in the file can be anything
            if explain(error, cfg) is not None:  # a setting is wrong
                raise
            raise InputError(
                f'{filename}: its state of a training does not fit this one ({type(error).__name__}'
                f': {shortened(error, 200)}); use the config that it was trained with, or start '
                f'from its weights: without --resume, with --cfg-options load_from={filename}'
            ) from error

    runner.resume = resume_or_say


def leave_process_group() -> None:
    """End a distributed run when all processes are done. Nothing to do in a single process.

    With gloo the process ends here: its model and runner still hold the group, whose threads can
    abort the process ("terminate called without an active exception") while Python shuts down.
    """
    if not torch.distributed.is_initialized():
        return
    torch.distributed.barrier()
    if torch.distributed.get_backend() == 'gloo':
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    torch.distributed.destroy_process_group()


def write_figures(path: str, figures: dict) -> None:
    """Write figures as JSON; folders are made.

    Args:
        path: Of the file.
        figures: What JSON can hold.

    Raises:
        InputError: It cannot be written.
    """
    with whole_file(path) as file:
        file.write(json.dumps(figures, indent=2) + '\n')
