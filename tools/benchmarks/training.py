"""Time and memory of a training step, and what each trick saves.

``python tools/benchmarks/training.py`` takes steps (forward, backward, clipping, AdamW) of the
small network on pairs of made-up frames, first in the straightforward forms that are kept below
(mmcv's attention in PyTorch, masks by grouped convolutions, target masks padded and copied whole, a
loop over the objects for the contrastive terms, a loop over layers and images for the matching),
then with one trick more at a time. All have the same weights and data and must have the same
losses, or it fails. Tables in Markdown: seconds a step and ratios, where the time goes, memory.

``--config CONFIG --size H W`` measures steps of any network instead, and ``--estimate`` computes
the memory of a step on a GPU from small steps on the CPU.
"""

import argparse
import logging
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time

import torch
from mmengine.config import Config, DictAction
from straightforward import straightforward
from timing import best_times, header, machine, row
from training_memory import estimate_memory, measure_memory, memory_table
from training_step import forward, make_model, make_optimizer, random_batch, step

from mmvis_cl.engine.cli import load_config, one_line_errors
from mmvis_cl.errors import InputError
from mmvis_cl.models import ContrastiveVIS

SMALL = Path(__file__).parents[2] / 'configs' / 'vis_cl' / 'small_moving-shapes.py'
STRAIGHTFORWARD = 'straightforward'
# In the order in which they are added; each name is what a variant has in its fast form.
TRICKS = {
    'attention': '+ compiled attention',
    'matched': '+ masks of the matched queries only',
    'masks': '+ masks as batched matrix products',
    'targets': '+ sampled target masks',
    'contrast': '+ contrastive terms of all objects at once',
    'matching': '+ matching of all layers and images at once (ours)',
}


def difference(model: ContrastiveVIS, batch: dict, amp: bool, expected: dict) -> float:
    """The largest one of any loss, relative to it where it is above 1."""
    with torch.no_grad():
        found = forward(model, batch, amp)
    assert found.keys() == expected.keys()
    return max(
        float((found[name] - value).abs() / value.abs().clamp(min=1))
        for name, value in expected.items()
    )


def tricks_table(
    model: ContrastiveVIS, cfg: Config, batch: dict, args: argparse.Namespace
) -> list[tuple[str, ContrastiveVIS]]:
    """What each trick saves.

    Returns:
        The first and the last variant, by name.
    """
    names = list(TRICKS)
    variants = {STRAIGHTFORWARD: straightforward(model, [])}
    for i, words in enumerate(TRICKS.values()):
        variants[words] = straightforward(model, names[: i + 1])
    optimizers = {name: make_optimizer(of, cfg) for name, of in variants.items()}
    times = best_times(
        {
            name: lambda of=of, name=name: step(of, optimizers[name], batch, args.amp)
            for name, of in variants.items()
        },
        args.repeat,
        args.device,
    )
    with torch.no_grad():
        expected = forward(variants[STRAIGHTFORWARD], batch, args.amp)
    print(f'Best of {args.repeat} steps of each:\n')
    print(header('', 'CPU s', 'wall s', 'CPU ratio', 'wall ratio', 'largest difference of a loss'))
    worst = 0.0
    for name, of in variants.items():
        off = difference(of, batch, args.amp, expected)
        worst = max(worst, off)
        ratios = (a / b for a, b in zip(times[STRAIGHTFORWARD], times[name], strict=True))
        print(
            row(
                name,
                *(f'{seconds:.3f}' for seconds in times[name]),
                *(f'{ratio:.2f}' for ratio in ratios),
                f'{off:.0e}',
            )
        )
    allowed = 5e-2 if args.amp else 1e-5
    if worst > allowed:
        raise SystemExit(f'the losses differ by {worst:.1e}, more than {allowed:.0e}')
    print(f'\nAll losses agree to {allowed:.0e}.')
    ends = [STRAIGHTFORWARD, list(variants)[-1]]
    return [(name, variants[name]) for name in ends]


def profile_table(
    models: list[tuple[str, ContrastiveVIS]], cfg: Config, batch: dict, args: argparse.Namespace
) -> None:
    """Seconds of a step's parts, CPU seconds or on a GPU wall seconds; the mean of some steps."""
    columns = []
    for _, model in models:
        optimizer, seconds = make_optimizer(model, cfg), defaultdict(float)

        def now() -> float:
            if args.device == 'cuda':
                torch.cuda.synchronize()
                return perf_counter()
            return process_time()

        def timed(name: str, call: Callable, seconds: dict = seconds) -> Callable:
            def inner(*call_args: object, **kwargs: object) -> object:
                start = now()
                result = call(*call_args, **kwargs)
                seconds[name] += now() - start
                return result

            return inner

        detector = model.detector
        parts = {
            'data to the device, normalised': (model.data_preprocessor, 'forward'),
            'backbone': (detector.backbone, 'forward'),
            'neck': (detector.neck, 'forward'),
            'encoder': (detector.encoder, 'forward'),
            'decoder': (detector.decoder, 'forward'),
            'matching': (detector.bbox_head, 'match'),
            'class and box losses': (detector.bbox_head, 'loss'),
            'mask features': (detector.mask_head, 'mask_features'),
            'masks and their losses': (detector.mask_head, 'loss'),
            'contrastive losses': (model.embed_head, 'loss'),
        }
        kept = {name: vars(owner).get(method) for name, (owner, method) in parts.items()}
        step(model, optimizer, batch, args.amp)
        for name, (owner, method) in parts.items():
            setattr(owner, method, timed(name, getattr(owner, method)))
        laps = {}
        last = now()

        def lap(part: str, laps: dict = laps) -> None:
            nonlocal last
            laps[part] = laps.get(part, 0.0) + now() - last
            last = now()

        for _ in range(args.repeat):
            last = now()
            step(model, optimizer, batch, args.amp, lap)
        for name, (owner, method) in parts.items():
            delattr(owner, method)
            if kept[name] is not None:
                setattr(owner, method, kept[name])
        column = {name: seconds[name] for name in parts}
        column['other forward'] = laps.pop('forward') - sum(column.values())
        columns.append({name: value / args.repeat for name, value in (column | laps).items()})

    kind = 'Wall' if args.device == 'cuda' else 'CPU'
    print(f'\n{kind} seconds of the parts of a step, the mean of {args.repeat}:\n')
    print(header('', *(cell for name, _ in models for cell in (name, 'share'))))
    totals = [sum(column.values()) for column in columns]
    for name in columns[0]:
        cells = []
        for column, total in zip(columns, totals, strict=True):
            cells += [f'{column[name]:.3f}', f'{column[name] / total:.0%}']
        print(row(name, *cells))
    print(row('all', *(cell for total in totals for cell in (f'{total:.3f}', '100%'))))


def growth_table(cfg: Config, args: argparse.Namespace) -> None:
    """The straightforward forms and ours for larger frames, more objects, more queries."""
    print('\nHow a step grows:\n')
    kind = 'wall s' if args.device == 'cuda' else 'CPU s'
    print(
        header('frame, objects, queries each', f'{STRAIGHTFORWARD} {kind}', f'ours {kind}', 'ratio')
    )
    h, w = args.size
    cases = [((h, w), 4, 1), ((h, w), 4, 10), ((h, w), 16, 2), ((2 * h, 2 * w), 4, 4)]
    for size, objects, per_object in cases:
        model = make_model(cfg, args.device, per_object)
        batch = random_batch(args.pairs, size, model.detector.bbox_head.num_classes, objects)
        runs = {}
        for name, of in ((STRAIGHTFORWARD, straightforward(model, [])), ('ours', model)):
            optimizer = make_optimizer(of, cfg)
            runs[name] = lambda of=of, by=optimizer, batch=batch: step(of, by, batch, args.amp)
        plain, ours = (
            seconds[args.device == 'cuda']
            for seconds in best_times(runs, args.repeat, args.device).values()
        )
        cells = f'{plain:.3f}', f'{ours:.3f}', f'{plain / ours:.2f}'
        print(row(f'{size[0]}x{size[1]}, {objects}, {per_object}', *cells), flush=True)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Time and memory of a training step.')
    parser.add_argument('--config', help='measure this one alone (default: the small one, whole)')
    parser.add_argument('--pairs', type=int, default=4, metavar='N', help='a batch (default: 4)')
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        default=(112, 187),
        metavar=('H', 'W'),
        help='(default: 112 187)',
    )
    parser.add_argument('--objects', type=int, default=4, metavar='N', help='a frame (default: 4)')
    parser.add_argument(
        '--per-object',
        type=int,
        default=4,
        metavar='N',
        help='queries that each object takes in a layer, 1 to 10; 4 is what the small network '
        'takes once it is trained (default: 4)',
    )
    parser.add_argument('--repeat', type=int, default=5, metavar='N', help='best of N (default: 5)')
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu')
    parser.add_argument('--amp', action='store_true', help='bfloat16, the losses in float32')
    parser.add_argument('--threads', type=int, metavar='N', help="PyTorch's threads on the CPU")
    parser.add_argument('--no-growth', action='store_true', help='leave out how a step grows')
    parser.add_argument('--no-memory', action='store_true', help='leave out the peak memory')
    parser.add_argument(
        '--estimate', action='store_true', help='do not take steps of this size; estimate memory'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help="override the config's settings",
    )
    parser.add_argument('--memory-of', choices=[STRAIGHTFORWARD, 'ours'], help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def steps_table(model: ContrastiveVIS, cfg: Config, batch: dict, args: argparse.Namespace) -> None:
    """Time and peak memory of the steps of one network."""
    optimizer = make_optimizer(model, cfg)
    peak, before = measure_memory(model, cfg, batch, args)
    run = {'': lambda: step(model, optimizer, batch, args.amp)}
    ((cpu, wall),) = best_times(run, args.repeat, args.device).values()
    print(header('', 'CPU s', 'wall s', 'pairs/s', 'peak MiB', 'MiB before the steps'))
    print(
        row(
            Path(args.config).stem,
            f'{cpu:.2f}',
            f'{wall:.2f}',
            f'{args.pairs / wall:.2f}',
            f'{peak:.0f}',
            f'{before:.0f}',
        )
    )


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with one_line_errors():
        if min(args.pairs, args.objects, args.repeat, *args.size) < 1:
            raise InputError('--pairs, --objects, --repeat, --size: at least 1')
        if not 1 <= args.per_object <= 10:
            raise InputError('--per-object: between 1 and 10')
        if args.device == 'cuda' and not torch.cuda.is_available():
            raise InputError('--device cuda: no GPU was found')
        if args.threads:
            torch.set_num_threads(args.threads)
        logging.disable(logging.WARNING)  # what mmengine says of each weight
        cfg = load_config(args.config or str(SMALL), args.cfg_options, None, 'none')
        if 'detector' not in cfg.model:
            raise InputError(f'{args.config}: trains no pairs; give the config of a ContrastiveVIS')
        if args.estimate:
            estimate_memory(cfg, args)
            return
        model = make_model(cfg, args.device, args.per_object)
        classes = model.detector.bbox_head.num_classes
        batch = random_batch(args.pairs, tuple(args.size), classes, args.objects)
        if args.memory_of:
            if args.memory_of == STRAIGHTFORWARD:
                model = straightforward(model, [])
            print(*measure_memory(model, cfg, batch, args))
            return
        print(f'Machine: {machine(args.device)}\n')
        print(
            f'Steps on {args.pairs} pairs of frames of {args.size[0]}x{args.size[1]} with '
            f'{args.objects} objects, which take {args.per_object} queries a layer'
            f'{", in bfloat16" if args.amp else ""}.\n'
        )
        if args.config:
            steps_table(model, cfg, batch, args)
            return
        ends = tricks_table(model, cfg, batch, args)
        profile_table(ends, cfg, batch, args)
        if not args.no_growth:
            growth_table(cfg, args)
        if not args.no_memory:
            memory_table(args)


if __name__ == '__main__':
    main()
