"""Train a model: ``python tools/train.py CONFIG``."""

import argparse
import os

import torch
from mmengine.config import DictAction
from mmengine.dist import is_main_process
from mmengine.runner import BaseLoop, Runner, find_latest_checkpoint

from mmvis_cl.engine.cli import (
    build_runner,
    check_checkpoint_file,
    leave_process_group,
    load_config,
    one_line_errors,
)
from mmvis_cl.errors import InputError


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Train a model.')
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--work-dir', help="logs and checkpoints go here (default: the config's, or work_dirs/NAME)"
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from this checkpoint, or from the newest in the work dir if none is named',
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='mixed precision: bfloat16, the losses in float32 (GPU only)',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override settings of the config, as optim_wrapper.optimizer.lr=5e-5',
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    # Old launchers pass it; torchrun sets LOCAL_RANK.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def save_on_bad_input(runner: Runner) -> None:
    """Keep the iterations since the last checkpoint, so that ``--resume`` goes on from here."""
    if not isinstance(runner._train_loop, BaseLoop) or runner.iter == 0:
        return
    name = f'iter_{runner.iter}.pth'
    if not is_main_process() or os.path.exists(os.path.join(runner.work_dir, name)):
        return
    # `iter` is given because save_checkpoint() counts the iteration under way as done.
    meta = dict(iter=runner.iter, epoch=runner.epoch)
    runner.save_checkpoint(runner.work_dir, name, meta=meta, by_epoch=False)
    path = os.path.join(runner.work_dir, name)
    with open(os.path.join(runner.work_dir, 'last_checkpoint'), 'w') as file:
        file.write(path)
    runner.logger.info(f'saved {path} before stopping: mend the input and go on with --resume')


def main() -> None:
    args = parse_args()
    with one_line_errors():
        cfg = load_config(args.config, args.cfg_options, args.work_dir, args.launcher)
        if args.amp:
            if not torch.cuda.is_available():
                raise InputError('--amp: mixed precision needs a GPU, and none was found')
            cfg.optim_wrapper.type = 'AmpOptimWrapper'
            if cfg.optim_wrapper.setdefault('dtype', 'bfloat16') == 'bfloat16':
                if not torch.cuda.is_bf16_supported(including_emulation=False):
                    raise InputError(
                        '--amp: this GPU has no bfloat16; leave --amp out, or add --cfg-options '
                        'optim_wrapper.dtype=float16'
                    )
                cfg.optim_wrapper.setdefault('loss_scale', 1.0)  # its range is that of float32
        if args.resume == 'auto':
            # With nothing to resume, `load_from` must keep its meaning.
            cfg.resume = find_latest_checkpoint(cfg.work_dir) is not None
            if cfg.resume:
                cfg.load_from = None
            elif is_main_process():
                print(f'--resume: no checkpoint in {cfg.work_dir}, starting from the beginning')
        elif args.resume is not None:
            cfg.resume, cfg.load_from = True, args.resume
        source = cfg.get('load_from')
        if cfg.get('resume') and source is None:
            source = find_latest_checkpoint(cfg.work_dir)
        if source is not None:
            check_checkpoint_file(source)

        runner = build_runner(cfg)
        try:
            runner.train()
        except InputError:
            save_on_bad_input(runner)
            raise
    leave_process_group()


if __name__ == '__main__':
    main()
