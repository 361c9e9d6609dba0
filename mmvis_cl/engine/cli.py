"""What ``tools/train.py`` and ``tools/test.py`` share."""

import json
import os
import sys
import zipfile
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader

from mmvis_cl.errors import InputError, cannot_write
from mmvis_cl.errors import one_line_errors as one_line_errors  # tools import it here
from mmvis_cl.registry import RUNNERS


def load_config(path: str, cfg_options: dict | None, work_dir: str | None, launcher: str) -> Config:
    """Read a config and apply the options of the command line.

    Args:
        path: Of the config file.
        cfg_options: ``key=value`` settings that override the file's.
        work_dir: Where logs and checkpoints go; the config's, or ``work_dirs/CONFIG_NAME``, if
            None.
        launcher: ``none``, ``pytorch``, ``slurm`` or ``mpi``.

    Returns:
        The config, ready for :func:`build_runner`.

    Raises:
        InputError: If there is no such file.
    """
    if not os.path.isfile(path):
        raise InputError(f'{path}: there is no such config file')
    cfg = Config.fromfile(path)
    cfg.launcher = launcher
    if cfg_options:
        cfg.merge_from_dict(cfg_options)
    if work_dir is not None:
        cfg.work_dir = work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = os.path.join('work_dirs', Path(path).stem)
    return cfg


def check_checkpoint_file(path: str) -> None:
    """Make sure that a checkpoint is there and whole, without loading it.

    Args:
        path: Of the file. Remote ones (``https://`` and the like) are left to mmengine.

    Raises:
        InputError: If it is missing, cut off, or no checkpoint.
    """
    if '://' in path:
        return
    if not os.path.isfile(path):
        raise InputError(f'{path}: there is no such checkpoint')
    # The list of a zip archive is at its end: a file that was cut off has none.
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            whole = any(name.endswith('data.pkl') for name in archive.namelist())
    else:  # PyTorch's format from before 1.6
        try:
            CheckpointLoader.load_checkpoint(path, map_location='cpu')
            whole = True
        except Exception:  # unpickling garbage can raise anything
            whole = False
    if not whole:
        raise InputError(
            f'{path}: not a PyTorch checkpoint, or cut off when it was written or copied; '
            'use another one or copy it again'
        )


def build_runner(cfg: Config) -> Runner:
    """Build the runner; on a machine without a GPU, several processes talk by gloo.

    Args:
        cfg: From :func:`load_config`.

    Returns:
        The runner.

    Raises:
        InputError: If a launcher is asked for that cannot start processes on CPUs.
    """
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
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    if runner.distributed and not torch.cuda.is_available():
        runner.logger.info(
            f'no GPU: {runner.world_size} processes on CPUs, connected by gloo instead of '
            f'{cfg.env_cfg.get("dist_cfg", {}).get("backend", "nccl")}'
        )
    return runner


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
    out = Path(path)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(figures, indent=2) + '\n')
    except OSError as error:
        raise cannot_write(out, error) from error
