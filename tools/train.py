"""Train a model: ``python tools/train.py CONFIG``."""

import argparse
import os
from typing import TYPE_CHECKING

import mmvis_cl_command

if __name__ == '__main__':
    mmvis_cl_command.put_off_set_up()  # wrong arguments are answered before torch is imported

from mmvis_cl import compat
from mmvis_cl.config import (
    build_errors_in_one_line,
    check_checkpoint_is_there,
    check_loaders,
    check_names,
    check_paths,
    load_config,
    parse_run_args,
)
from mmvis_cl.errors import InputError, one_line_errors
from mmvis_cl.processes import kill_workers

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.runner import Runner


LOGGERS = dict(
    tensorboard='TensorboardVisBackend', wandb='WandbVisBackend', mlflow='MLflowVisBackend'
)


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
        '--logger',
        nargs='+',
        choices=sorted(LOGGERS),
        default=[],
        help='write curves, and a few tracked frames at each validation, for these too',
    )
    return parse_run_args(parser, example='optim_wrapper.optimizer.lr=5e-5')


def save_on_bad_input(runner: 'Runner') -> None:
    """Keep the iterations since the last checkpoint, so that ``--resume`` goes on from here."""
    from mmengine.runner import BaseLoop

    from mmvis_cl.engine.hooks.whole_checkpoint_hook import save_now

    if not isinstance(runner._train_loop, BaseLoop) or runner.iter == 0:
        return
    path = save_now(runner, runner.iter)
    runner.logger.info(f'saved {path} before stopping: mend the input and go on with --resume')


def use_loggers(cfg: 'Config', names: list[str]) -> None:
    """Give curves and tracked frames to the backends of mmengine with these names."""
    backends = cfg.visualizer.setdefault('vis_backends', [])
    there = {backend['type'] for backend in backends}
    backends += [dict(type=LOGGERS[name]) for name in names if LOGGERS[name] not in there]
    cfg.custom_hooks = [*cfg.get('custom_hooks', ()), dict(type='mmvis_cl.TrackedFramesHook')]


def use_mixed_precision(cfg: 'Config') -> None:
    """Train in bfloat16 where the GPU has it."""
    import torch

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


def set_start(cfg: 'Config', resume: str | None) -> None:
    """Tell the runner where training starts, and make sure that the checkpoint is one."""
    from mmengine.dist import is_main_process

    from mmvis_cl.engine.checkpoints import newest_checkpoint
    from mmvis_cl.engine.cli import check_checkpoint_file

    if resume not in (None, 'auto'):
        cfg.resume, cfg.load_from = True, resume
    elif resume == 'auto' or (cfg.get('resume') and cfg.get('load_from') is None):
        newest, passed_over = newest_checkpoint(cfg.work_dir)
        cfg.resume = newest is not None
        if newest is not None:  # otherwise `load_from` keeps its meaning
            cfg.load_from = newest
        if is_main_process() and (passed_over or newest is None):
            where = (
                f'no whole checkpoint in {cfg.work_dir}, starting from the beginning'
                if newest is None
                else f'going on from {newest}'
            )
            print('; '.join([*passed_over, where]), flush=True)
    if cfg.get('load_from') is not None:
        check_checkpoint_file(cfg.load_from)


def main() -> None:
    with one_line_errors():
        args = parse_args()
        cfg = load_config(args.config, args.cfg_options, args.work_dir, args.launcher)
        check_names(cfg)
        check_loaders(cfg, ('train', 'val'))
        start = args.resume or (args.cfg_options or {}).get('load_from')
        if args.resume == 'auto':
            last = os.path.join(cfg.work_dir, 'last_checkpoint')
            start = last if os.path.isfile(last) else None
        check_checkpoint_is_there(start)
        if args.logger:
            use_loggers(cfg, args.logger)
        if args.amp:
            compat.set_up_in_tool()
            use_mixed_precision(cfg)
        check_paths(cfg, ('train', 'val'), start)
        compat.set_up_in_tool(cfg.get('custom_imports'))
        from mmvis_cl.checkpoints.mmengine_loading import read_all_by_ours
        from mmvis_cl.checkpoints.reader import trust_checkpoints

        read_all_by_ours()
        if args.trust_checkpoint:
            trust_checkpoints()

        from mmvis_cl.engine.cli import build_runner, leave_process_group
        from mmvis_cl.engine.downloads import fetch_pretrained
        from mmvis_cl.engine.work_dir_lock import only_training_in

        with only_training_in(cfg.work_dir, cfg.launcher):
            set_start(cfg, args.resume)
            runner = build_runner(cfg)
            fetch_pretrained(runner)
            runner.register_hook(dict(type='mmvis_cl.StopHook'))
            try:
                with build_errors_in_one_line(cfg):
                    runner.train()
            except InputError:
                save_on_bad_input(runner)
                raise
    leave_process_group()


if __name__ == '__main__':
    try:
        main()
    finally:
        kill_workers()
