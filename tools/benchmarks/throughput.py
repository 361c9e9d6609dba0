"""Frames a second of whole networks: precisions, batches, torch.compile.

``python tools/benchmarks/throughput.py r50 swin-l --device cuda`` tracks made-up videos of 480x854
with random weights, association and RLE included, and prints a table in Markdown. ``--compile
backbone neck`` gives those parts to torch.compile, ``--mode reduce-overhead`` as CUDA graphs;
``--cuda-graph`` makes one CUDA graph of the whole network instead (``test_cfg.cuda_graph``).
"""

import argparse
import logging
import time

import inference
import torch
from inference import Video, make_model, track
from timing import best_times, header, machine, row

from mmvis_cl.engine.cli import one_line_errors
from mmvis_cl.errors import InputError
from mmvis_cl.fast.fast_inference import prepare_for_inference
from mmvis_cl.models import ContrastiveVIS

inference.NETWORKS.setdefault('swin-l', 'swin-l_ytvis21.py')
PRECISIONS = dict(float32=None, bf16='bfloat16', fp16='float16')
PARTS = ('backbone', 'neck', 'encoder', 'decoder')


def compile_parts(model: ContrastiveVIS, parts: list[str], mode: str) -> None:
    """Let torch.compile have some parts of the detector, for each size anew."""
    for name in parts:
        getattr(model.detector, name).compile(dynamic=False, mode=mode)


def table_row(
    model: ContrastiveVIS, name: str, video: Video, batch: int, args: argparse.Namespace
) -> str:
    """Track the video ``batch`` frames at a time; the first run, with compiling, is told apart."""
    start = time.perf_counter()
    track(model, video, batch)
    first = time.perf_counter() - start
    if video.device == 'cuda':
        torch.cuda.reset_peak_memory_stats()
    run = {name: lambda: track(model, video, batch)}
    ((cpu, wall),) = best_times(run, args.repeat, args.device).values()
    memory = torch.cuda.max_memory_allocated() / 2**20 if video.device == 'cuda' else 0
    cells = [f'{video.length / wall:.2f}', f'{1000 * wall / video.length:.1f}']
    cells += [
        f'{1000 * cpu / video.length:.1f}',
        f'{first:.1f}',
        f'{memory:.0f}' if memory else '-',
    ]
    return row(name, batch, *cells)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Frames a second of whole networks.')
    parser.add_argument(
        'networks', nargs='+', choices=sorted(inference.NETWORKS), metavar='NETWORK'
    )
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu')
    parser.add_argument(
        '--precisions', nargs='+', choices=PRECISIONS, default=['float32', 'bf16'], metavar='NAME'
    )
    parser.add_argument(
        '--batches', type=int, nargs='+', default=[1, 8], metavar='N', help='(default: 1 8)'
    )
    parser.add_argument(
        '--compile', nargs='+', choices=PARTS, default=[], metavar='PART', help=', '.join(PARTS)
    )
    parser.add_argument(
        '--mode',
        choices=['default', 'reduce-overhead'],
        default='default',
        help="torch.compile's; reduce-overhead launches what is between two breaks at once",
    )
    parser.add_argument('--cuda-graph', action='store_true', help='record the whole network')
    parser.add_argument(
        '--size', type=int, nargs=2, default=inference.SIZE, metavar=('H', 'W'), help='480 854'
    )
    parser.add_argument('--frames', type=int, default=48, metavar='N', help='(default: 48)')
    parser.add_argument('--kept', type=int, default=30, metavar='N', help='queries (default: 30)')
    parser.add_argument('--repeat', type=int, default=3, metavar='N', help='best of N (default: 3)')
    return parser.parse_args()


@torch.no_grad()
def main() -> None:
    args = parse_args()
    with one_line_errors():
        if min(args.frames, args.repeat, args.kept, *args.size, *args.batches) < 1:
            raise InputError('--frames, --repeat, --kept, --size, --batches: at least 1')
        if args.device == 'cuda' and not torch.cuda.is_available():
            raise InputError('--device cuda: no GPU was found')
        if args.cuda_graph and (args.compile or args.device != 'cuda'):
            raise InputError(
                '--cuda-graph: only with --device cuda and without --compile; leave it out'
            )
        logging.disable(logging.WARNING)  # what mmengine says of each initialised weight
        print(f'Machine: {machine(args.device)}\n')
        h, w = args.size
        compiled = f', {args.mode} compiled {" and ".join(args.compile)}' if args.compile else ''
        compiled += ', as a CUDA graph' if args.cuda_graph else ''
        print(
            f'Videos of {args.frames} frames of {h}x{w}, {args.kept} queries kept, association and '
            f'RLE included{compiled}; best of {args.repeat} runs:\n'
        )
        times = ('frames/s', 'wall ms', 'CPU ms', 'first run s', 'peak GPU MiB')
        print(header('network', 'batch', *times), flush=True)
        video = Video((h, w), args.frames, args.device)
        for network in args.networks:
            model = make_model(network, video, args.kept)
            prepare_for_inference(model)
            compile_parts(model, args.compile, args.mode)
            for precision in args.precisions:
                options = dict(autocast=PRECISIONS[precision], cuda_graph=args.cuda_graph)
                model.test_cfg = dict(model.test_cfg, **options)
                for batch in args.batches:
                    name = f'{network}, {precision}{compiled}'
                    print(table_row(model, name, video, batch, args), flush=True)


if __name__ == '__main__':
    main()
