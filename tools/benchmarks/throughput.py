"""Frames a second of whole networks beside the release's way: precisions, batches, torch.compile.

``python tools/benchmarks/throughput.py r50 swin-l --device cuda`` tracks made-up videos of 480x854
with random weights, association and RLE included, and prints a table in Markdown: first as the
authors' release works, frame by frame with the masks of all queries and mmcv's attention; then ours
one frame after the other, whose time is the latency of a frame; then with the network a pass ahead
of the association, as files are tracked.
"""

import argparse
import copy
import logging
import time
from collections.abc import Callable, Iterator

import inference
import torch
from inference import Video, make_model, track, track_as_release, use_plain_attention
from timing import best_times, header, machine, row

from mmvis_cl.engine.cli import one_line_errors
from mmvis_cl.errors import InputError
from mmvis_cl.fast.fast_inference import prepare_for_inference
from mmvis_cl.fast.network_ahead import decided_on_cpu, network_ahead
from mmvis_cl.models import ContrastiveVIS

inference.NETWORKS.setdefault('swin-l', 'swin-l_ytvis21.py')
PRECISIONS = dict(float32={}, tf32=dict(tf32=True), bf16=dict(autocast='bfloat16'))
RELEASE = "the release's way, float32"


def track_ahead(model: ContrastiveVIS, video: Video, per_pass: int) -> int:
    """Track a whole video, the network a pass ahead; gives the number of tracks."""
    session = model.start_video(0, video.length, video.size)
    passes = (
        video.frames(start, min(start + per_pass, video.length))
        for start in range(0, video.length, per_pass)
    )
    device = next(model.parameters()).device
    for (_, samples), states in network_ahead(
        passes, lambda given: decided_on_cpu(model.query_states(*given)), device
    ):
        for t, sample in enumerate(samples):
            model.track_frame(session, states, t, sample.img_shape)
    return len(session.result.tracks)


def ways(
    model: ContrastiveVIS, video: Video, args: argparse.Namespace
) -> Iterator[tuple[str, Callable[[], int]]]:
    """What is timed; a model of its own each, made when it is asked for."""
    if not args.no_release:
        release = copy.deepcopy(model)
        use_plain_attention(release)
        yield RELEASE, lambda: track_as_release(release, video, clip=1)
    for precision in args.precisions:
        fast = copy.deepcopy(model)
        fast.test_cfg = dict(fast.test_cfg, **PRECISIONS[precision])
        if args.no_graph:
            fast.test_cfg['cuda_graph'] = False
        prepare_for_inference(fast, compile_network=args.compile)
        name = f'{precision}, compiled' if args.compile else precision
        yield f'{name}, one after the other', lambda fast=fast: track(fast, video)
        for batch in args.batches:
            at_once = '' if batch == 1 else f', {batch} at once'
            yield (
                f'{name}, ahead{at_once}',
                lambda fast=fast, batch=batch: track_ahead(fast, video, batch),
            )


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Frames a second of whole networks.')
    parser.add_argument(
        'networks', nargs='+', choices=sorted(inference.NETWORKS), metavar='NETWORK'
    )
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu')
    parser.add_argument(
        '--precisions',
        nargs='+',
        choices=PRECISIONS,
        default=list(PRECISIONS),
        metavar='NAME',
        help=f'{", ".join(PRECISIONS)} (default: all)',
    )
    parser.add_argument(
        '--batches', type=int, nargs='+', default=[1, 8], metavar='N', help='(default: 1 8)'
    )
    parser.add_argument('--compile', action='store_true', help='give the network to torch.compile')
    parser.add_argument('--no-graph', action='store_true', help='without CUDA graphs')
    parser.add_argument('--no-release', action='store_true', help="leave out the release's way")
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
        logging.disable(logging.WARNING)  # what mmengine says of each initialised weight
        print(f'Machine: {machine(args.device)}\n')
        h, w = args.size
        print(
            f'Videos of {args.frames} frames of {h}x{w}, {args.kept} queries kept, association and '
            f'RLE included; best of {args.repeat} runs. Ratios are to the first way:\n'
        )
        times = ('frames/s', 'ratio', 'wall ms', 'CPU ms', 'first run s', 'peak GPU MiB')
        print(header('network', 'way', *times), flush=True)
        video = Video((h, w), args.frames, args.device)
        for network in args.networks:
            model = make_model(network, video, args.kept)
            slowest = None
            for name, run in ways(model, video, args):
                start = time.perf_counter()
                run()  # compiles and records
                first = time.perf_counter() - start
                if args.device == 'cuda':
                    torch.cuda.reset_peak_memory_stats()
                ((cpu, wall),) = best_times({name: run}, args.repeat, args.device).values()
                slowest = slowest or wall
                gpu = args.device == 'cuda'
                memory = f'{torch.cuda.max_memory_allocated() / 2**20:.0f}' if gpu else '-'
                cells = f'{args.frames / wall:.2f}', f'{slowest / wall:.1f}'
                cells += tuple(f'{1000 * s / args.frames:.1f}' for s in (wall, cpu))
                print(row(network, name, *cells, f'{first:.1f}', memory), flush=True)


if __name__ == '__main__':
    main()
