"""Train the stages of a recipe in order: ``python tools/train_stages.py CONFIG1 CONFIG2 ...``."""

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config

import mmvis_cl_command

if __name__ == '__main__':
    mmvis_cl_command.put_off_set_up()  # wrong arguments are answered before torch is imported

from mmvis_cl import compat
from mmvis_cl.config import check_loaders, check_names, check_paths, load_config
from mmvis_cl.config.options import read_option
from mmvis_cl.errors import InputError, one_line_errors

TOOLS = Path(__file__).parent


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Train several configs, each starting from the last checkpoint of the one '
        'before. Run again, it goes on where it was interrupted.'
    )
    parser.add_argument(
        'configs',
        nargs='+',
        metavar='CONFIG',
        help='one a stage, as r50_coco.py r50_coco-pseudo.py r50_ytvis22.py',
    )
    parser.add_argument(
        '--work-dir', required=True, help='every stage gets a folder in it, 1_CONFIG, 2_CONFIG, ...'
    )
    parser.add_argument('--gpus', type=int, default=1, help='processes, by tools/dist_train.sh')
    parser.add_argument('--amp', action='store_true', help='mixed precision in all stages')
    parser.add_argument('--load-from', metavar='CHECKPOINT', help='where the first stage starts')
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='let checkpoints make objects of any type, which can run any code: only for files of '
        'your own',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='override settings of all configs',
    )
    return parser.parse_args()


def start_options(checkpoint: str | Path, before: Config | None, config: Config) -> list[str]:
    """What makes a stage start from the checkpoint of the one before.

    Args:
        checkpoint: Of the stage before.
        before: Its config; None if the checkpoint was given by the user.
        config: Of the stage.

    Returns:
        Settings for ``--cfg-options``. An image network's weights go into the video model's
        detector. What the config says of its start is replaced.
    """
    if before is not None and 'detector' in config.model and 'detector' not in before.model:
        return [
            'model.detector.init_cfg.type=Pretrained',
            f'model.detector.init_cfg.checkpoint={checkpoint}',
            'load_from=None',
        ]
    start = [f'load_from={checkpoint}']
    if config.model.get('detector', {}).get('init_cfg'):
        start.append('model.detector.init_cfg=None')
    return start


def train_command(
    config: str, work_dir: Path, options: list[str], gpus: int, flags: Sequence[str]
) -> list[str]:
    """The command that trains one stage, or goes on with it."""
    train = [config, '--work-dir', str(work_dir), '--resume', *flags]
    if options:
        train += ['--cfg-options', *options]
    if gpus > 1:
        return ['bash', str(TOOLS / 'dist_train.sh'), config, str(gpus), *train[1:]]
    return [sys.executable, str(TOOLS / 'train.py'), *train]


def run(command: list[str]) -> int:
    """The exit code of a training. One that is stopped saves a checkpoint, which is waited for."""
    process = subprocess.Popen(command)
    try:
        return process.wait()
    except KeyboardInterrupt:  # a terminal sends Ctrl-C to both, a scheduler may signal one alone
        process.terminate()
        process.wait()
        raise


def main() -> None:
    with one_line_errors():
        args = parse_args()
        options = dict(map(read_option, args.cfg_options))
        # all of them first: a wrong name must not show after days
        configs = [load_config(path, options, args.work_dir, 'none') for path in args.configs]
        for number, config in enumerate(configs):
            check_names(config)
            check_loaders(config, ('train', 'val'))
            check_paths(config, ('train', 'val'), '' if number else args.load_from)

        compat.set_up_in_tool()
        from mmvis_cl.engine.checkpoints import newest_checkpoint

        flags = ['--amp'] * args.amp + ['--trust-checkpoint'] * args.trust_checkpoint
        checkpoint, before = args.load_from, None
        for number, (path, config) in enumerate(zip(args.configs, configs, strict=True), 1):
            work_dir = Path(args.work_dir) / f'{number}_{Path(path).stem}'
            trained = work_dir / '.trained'
            title = f'== stage {number} of {len(configs)}: {path}'
            if os.path.isfile(trained):
                print(f'{title}: done before', flush=True)
            else:
                start = start_options(checkpoint, before, config) if checkpoint else []
                command = train_command(
                    path, work_dir, [*args.cfg_options, *start], args.gpus, flags
                )
                print(f'{title}\n{shlex.join(command)}', flush=True)
                code = run(command)
                if code:
                    raise InputError(
                        f'stage {number} ({path}) ended with code {code}, see above; the same '
                        'command goes on from its last checkpoint'
                    )
                trained.touch()
            checkpoint, before = newest_checkpoint(work_dir)[0], config
            if checkpoint is None:
                raise InputError(
                    f'{work_dir}: stage {number} is marked as trained but has no checkpoint; '
                    f'remove {trained} to train it again'
                )
    print(f'== done: {checkpoint}')


if __name__ == '__main__':
    main()
