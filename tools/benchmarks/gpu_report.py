"""Runs everything that needs a GPU and writes a report; ``gpu_report.sh`` calls it.

Each part is a process of its own with a limit, and the report is written after each, so that a
part that fails or hangs leaves the others. With ``--device cpu`` all parts are tiny.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
BENCHMARKS = 'tools/benchmarks'
TRAIN = 'tools/train.py'
SMALL = 'configs/vis_cl/small_moving-shapes.py'
TRAIN_ITERS = 60


class Part(NamedTuple):
    """A part of the report: its title, the commands one after the other, and seconds for all."""

    title: str
    commands: list[list[str]]
    limit: float


def parts(device: str, folder: Path) -> dict[str, list[Part]]:
    """The parts of each half, and of the suite, the most important ones first."""
    on = ['--device', device]
    tiny = device == 'cpu'

    def throughput(network: str, *options: str) -> list[str]:
        options = ('small', *options, '--size', '64', '96') if tiny else (network, *options)
        frames = ['--frames', '4' if tiny else '32', '--repeat', '1' if tiny else '2']
        return [f'{BENCHMARKS}/throughput.py', *options, *on, *frames]

    def files(precision: str) -> list[str]:
        command = [f'{BENCHMARKS}/files.py', '--precision', precision, *on]
        short = ['--network', 'small', '--size', '72', '128', '--frames', '4', '--repeat', '1']
        return command + (short if tiny else [])

    def step(config: str, size: tuple[int, int]) -> list[str]:
        config, size = (SMALL, (64, 96)) if tiny else (f'configs/vis_cl/{config}.py', size)
        command = [f'{BENCHMARKS}/training.py', '--config', config, '--pairs', '4', '--amp']
        return [*command, '--size', *map(str, size), '--repeat', '1' if tiny else '3', *on]

    shapes, work = folder / 'moving_shapes', folder / 'training'
    make = 'tools/dataset_converters/make_moving_shapes.py'
    options = [f'train_dataloader.dataset.data_root={shapes}/']
    options += [f'val_dataloader.dataset.data_root={shapes}/']
    options += [f'val_evaluator.ann_file={shapes}/valid.json']
    options += [f'train_cfg.max_iters={TRAIN_ITERS}', 'log_processor.window_size=1']
    options += ['default_hooks.logger.interval=1', 'default_hooks.checkpoint.interval=100000']
    options += ['train_cfg.val_begin=100000']
    train = [TRAIN, SMALL, '--work-dir', str(work), '--cfg-options', *options]
    rest = ['-p', 'no:cacheprovider', '-q', '-W', 'ignore']
    on_cuda = ['-m', 'pytest', '-m', 'cuda', *rest]
    on_cuda += ['tests/models/test_on_cuda.py'] if tiny else ['tests']
    forms = [f'{BENCHMARKS}/attention.py', *on, '--repeat', '1' if tiny else '5']
    forms += ['--sizes', '1'] if tiny else []
    first = [
        Part('Tests marked cuda', [on_cuda], 75),
        Part('Frames a second, r50', [throughput('r50')], 75),
        Part('From file to file', [files('bf16')], 60),
        Part('Deformable attention', [forms], 30),
    ]
    second = [
        Part('Frames a second, Swin-L', [throughput('swin-l', '--precisions', 'tf32', 'bf16')], 75),
        Part(
            'Frames a second, r50, compiled',
            [
                throughput(
                    *('r50', '--compile', '--precisions', 'bf16'),
                    *('--batches', '1', '--no-release'),
                )
            ],
            60,
        ),
        Part(
            'A training step of 4 pairs, bfloat16',
            [step('r50_ytvis22', (480, 854)), step('swin-l_ytvis22', (480, 854))],
            60,
        ),
        Part(
            'A short training on moving shapes',
            [
                [make, '--out', str(shapes), '--train-videos', '12', '--valid-videos', '1'],
                train,
                [f'{BENCHMARKS}/gpu_report.py', '--losses-of', str(work)],
            ],
            240 if tiny else 45,
        ),
    ]
    # Of a machine without what lints, builds pages and makes wheels.
    suite = [*rest, '-n', 'logical', '--dist', 'loadfile', '--ignore', 'tests/docs']
    suite += ['--ignore', 'tests/test_packaging.py', '--ignore', 'tests/mutants']
    some = ['tests/ops', 'tests/fast'] if tiny else []
    return {
        '1': first,
        '2': second,
        'suite': [Part('The whole suite', [['-m', 'pytest', *suite, *some]], 420)],
    }


def run_part(part: Part, environment: dict, limit: float) -> tuple[bool, str]:
    """Whether all of a part's commands ended well in time, and its text for the report."""
    start, good = time.monotonic(), True
    lines = [f'## {part.title}\n']
    for command in part.commands:
        lines.append(f'`python {" ".join(command)}`\n')
        left = max(1.0, limit - (time.monotonic() - start))
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors='replace',
            start_new_session=True,
        )
        try:
            output, errors = process.communicate(timeout=left)
            reason = f'exit code {process.returncode}'
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with its data loaders and compilers
            output, errors = process.communicate()
            reason = f'stopped after {left:.0f} s'
        failed = process.returncode != 0
        told = [line for line in output.rstrip().splitlines() if 'OneDL' not in line]
        lines.append('\n'.join(told[-3 if command[0] == TRAIN else -60 :]) + '\n')
        if failed:
            good = False
            tail = '\n'.join(errors.rstrip().splitlines()[-30:])
            lines.append(f'**FAILED**: {reason}\n\n```\n{tail}\n```\n')
            break
    lines.append(f'({time.monotonic() - start:.0f} s)\n')
    return good, '\n'.join(lines)


def losses(work_dir: Path) -> Iterator[float]:
    """The total loss of each iteration of a training."""
    for path in work_dir.glob('*/vis_data/scalars.json'):
        for line in path.read_text().splitlines():
            record = json.loads(line)
            if 'loss' in record:
                yield record['loss']


def check_losses(work_dir: Path) -> None:
    """Print how the loss fell; exit with 1 if it did not."""
    values = list(losses(work_dir))
    if len(values) != TRAIN_ITERS:
        sys.exit(f'error: {work_dir}: {len(values)} losses in the log, not {TRAIN_ITERS}')
    first, last = (sum(ten) / 10 for ten in (values[:10], values[-10:]))
    print(f'Mean loss of the first ten iterations {first:.3f}, of the last ten {last:.3f}.')
    if not last < first:
        sys.exit('error: the loss did not fall')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Run everything that needs a GPU.')
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cuda')
    parser.add_argument('--out', type=Path, default=Path('gpu_report.md'), metavar='REPORT.md')
    parser.add_argument(
        '--only', choices=['1', '2', 'suite'], help='a half, or the whole suite (default: halves)'
    )
    parser.add_argument(
        '--seconds',
        type=float,
        default=240,
        metavar='S',
        help='for the parts of a half, twice as many for the suite (default: 240)',
    )
    parser.add_argument('--losses-of', type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def write(path: Path, texts: list[str]) -> None:
    """The report so far; whoever reads it meanwhile sees the one before."""
    part = path.with_name(f'.{path.name}.part')
    part.write_text('\n'.join(texts))
    part.replace(path)


def main() -> None:
    args = parse_args()
    if args.losses_of:
        check_losses(args.losses_of)
        return
    start = time.monotonic()
    environment = dict(os.environ, MMVIS_CL_TEST_DEVICE=args.device, PYTHONWARNINGS='ignore')
    with tempfile.TemporaryDirectory() as folder:
        texts, failed = ['# GPU report\n'], []
        found = parts(args.device, Path(folder))
        chosen = [args.only] if args.only else ['1', '2']
        limit = args.seconds * (2 if args.only in (None, 'suite') else 1)
        for part in [part for name in chosen for part in found[name]]:
            left = limit - (time.monotonic() - start)
            print(f'{part.title} ...', flush=True)
            if left < 10:
                good, text = False, f'## {part.title}\n\n**FAILED**: no time was left\n'
            else:
                good, text = run_part(part, environment, min(part.limit, left))
            failed += [] if good else [part.title]
            print(text, flush=True)
            texts.append(text)
            write(args.out, texts)
        end = (
            f'{len(failed)} parts failed: {"; ".join(failed)}' if failed else 'All parts went well'
        )
        end = f'{end} ({time.monotonic() - start:.0f} s).'
        write(args.out, [*texts, end, ''])
        print(end, f'report: {args.out}', sep='\n')
    sys.exit(bool(failed))


if __name__ == '__main__':
    main()
