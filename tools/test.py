"""Test a model: ``python tools/test.py CONFIG CHECKPOINT``."""

import argparse
import os
import sys

from mmengine.config import Config

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


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Test a model with the YouTube-VIS metric.')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--work-dir', help="logs go here (default: the config's, or work_dirs/NAME)"
    )
    parser.add_argument('--out', metavar='RESULTS.json', help='write results in YouTube-VIS format')
    parser.add_argument(
        '--format-only',
        action='store_true',
        help='write the results and the submission zip without scoring them (to --out, or '
        'results.json in the work dir)',
    )
    parser.add_argument(
        '--tta',
        action='store_true',
        help="track each video at every size of the config's tta.scales and merge the tracks",
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='run the network in bfloat16 where that is enough: faster on GPUs and on CPUs that '
        'have it, with slightly other results',
    )
    parser.add_argument(
        '--tf32',
        action='store_true',
        help='on a GPU, let float32 products use 10 of the 23 bits after the point: faster, with '
        'slightly other results',
    )
    parser.add_argument(
        '--compile',
        action='store_true',
        help='give the network to torch.compile: faster, but the first frames of each size wait',
    )
    parser.add_argument('--show-dir', metavar='DIR', help='write an .mp4 of each video here')
    return parse_run_args(parser, example='test_dataloader.num_workers=0')


def set_outputs(cfg: Config, out: str | None, format_only: bool) -> None:
    """Tell the metric where to write."""
    from mmvis_cl.evaluation import VISMetric
    from mmvis_cl.registry import METRICS

    if out is None:
        out = os.path.join(cfg.work_dir, 'results.json')
    evaluators = cfg.test_evaluator
    metrics = [
        metric
        for metric in (evaluators if isinstance(evaluators, (list, tuple)) else [evaluators])
        if issubclass(METRICS.get(str(metric['type'])) or object, VISMetric)
    ]
    if not metrics:
        raise InputError(
            'test_evaluator: --out and --format-only need a VISMetric, and the config has none'
        )
    metrics[0]['outfile_prefix'] = out.removesuffix('.json')
    if format_only:
        metrics[0]['format_only'] = True


def set_in_test_cfg(cfg: Config, option: str, key: str, value: object) -> None:
    """Tell the model in what precision to test."""
    name = str(cfg.model.type).split('.')[-1]
    if name != 'ContrastiveVIS':
        raise InputError(f'{option}: a {name} has no test_cfg.{key}; use a ContrastiveVIS')
    cfg.model.test_cfg[key] = value


def main() -> None:
    with one_line_errors():
        args = parse_args()
        cfg = load_config(args.config, args.cfg_options, args.work_dir, args.launcher)
        check_checkpoint_is_there(args.checkpoint)
        check_names(cfg)
        check_loaders(cfg, ['test'])
        if args.out and not args.out.endswith('.json'):
            raise InputError(f'--out {args.out}: the name must end in .json')
        if args.amp:
            set_in_test_cfg(cfg, '--amp', 'autocast', 'bfloat16')
        if args.tf32:
            set_in_test_cfg(cfg, '--tf32', 'tf32', True)
        if args.out or args.format_only:
            compat.set_up_in_tool(cfg.get('custom_imports'))
            set_outputs(cfg, args.out, args.format_only)
        check_paths(cfg, ['test'], args.checkpoint)
        compat.set_up_in_tool(cfg.get('custom_imports'))

        from mmengine.dist import is_main_process

        from mmvis_cl.checkpoints.mmengine_loading import read_all_by_ours
        from mmvis_cl.checkpoints.reader import trust_checkpoints
        from mmvis_cl.engine.cli import build_runner, check_checkpoint_file, leave_process_group
        from mmvis_cl.engine.multi_scale_config import use_multi_scale

        read_all_by_ours()
        if args.trust_checkpoint:
            trust_checkpoints()
        check_checkpoint_file(args.checkpoint)
        cfg.load_from, cfg.resume = args.checkpoint, False
        if args.tta:
            use_multi_scale(cfg)
        # The progress bar takes the place of the logger's lines.
        hooks = cfg.setdefault('custom_hooks', [])
        hooks.append(dict(type='mmvis_cl.ProgressBarHook'))
        fast = [hook for hook in hooks if str(hook['type']).endswith('FastInferenceHook')]
        if not fast:
            fast = [dict(type='mmvis_cl.FastInferenceHook')]
            hooks += fast
        if args.compile:
            fast[0]['compile_network'] = True
        cfg.setdefault('default_hooks', {}).setdefault('logger', dict(type='LoggerHook'))
        cfg.default_hooks.logger.interval = sys.maxsize
        if args.show_dir:
            hooks.append(dict(type='mmvis_cl.TrackVideoHook', out_dir=args.show_dir))

        runner = build_runner(cfg)
        with build_errors_in_one_line(cfg):
            runner.test()
        if is_main_process():
            if args.out:
                print(f'results: {args.out}')
            if args.show_dir:
                print(f'videos: {args.show_dir}')
    leave_process_group()


if __name__ == '__main__':
    try:
        main()
    finally:
        kill_workers()
