"""From a video file to a file: decoding, network, association, drawing and encoding together.

``python tools/benchmarks/files.py --device cuda`` makes a video of 1280x720 in which ten shapes
move, and tracks it as ``mmvis-cl track`` does: to JSON, and to JSON and a drawn video. The network
has random weights whose ten best queries are kept, so that the work is that of a trained one.
"""

import argparse
import logging
import os
import tempfile
import time

import inference
import torch
from inference import Video, make_model
from timing import header, machine, row

from mmvis_cl.apis import VISInferencer, open_source
from mmvis_cl.datasets.converters.moving_shapes import make_moving_shapes
from mmvis_cl.engine.cli import one_line_errors
from mmvis_cl.errors import InputError
from mmvis_cl.outputs import Outputs, VideoOutput, YouTubeVISOutput
from mmvis_cl.visualization import FrameDrawer, VideoWriter


def make_video(folder: str, frames: int, size: tuple[int, int]) -> str:
    """A video file of moving shapes."""
    shapes = os.path.join(folder, 'shapes')
    make_moving_shapes(shapes, train_videos=1, valid_videos=1, length=frames, size=size[::-1])
    path = os.path.join(folder, 'shapes.mp4')
    images = next(os.scandir(os.path.join(shapes, 'JPEGImages'))).path
    with open_source(images) as source, VideoWriter(path, 25.0) as writer:
        for frame in source:
            writer.write(frame.image)
    return path


def make_inferencer(folder: str, args: argparse.Namespace) -> VISInferencer:
    """An inferencer whose network keeps about ``args.kept`` queries of each frame."""
    model = make_model(args.network, Video((480, 853), 1, 'cpu'), args.kept)
    path = os.path.join(folder, 'weights.pth')
    torch.save(dict(state_dict=model.state_dict()), path)
    options = {
        f'model.detector.test_cfg.{key}': value for key, value in model.detector.test_cfg.items()
    }
    options |= {
        'model.test_cfg.mask_nms_thr': 1.0,
        'model.tracker.background_iou_thr': model.tracker.background_iou_thr,
    }
    return VISInferencer(
        inference.CONFIGS / inference.NETWORKS[args.network],
        path,
        args.device,
        amp=args.precision == 'bf16',
        tf32=args.precision == 'tf32',
        compile_network=args.compile,
        cfg_options=options,
    )


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Frames a second from file to file.')
    parser.add_argument('--network', choices=sorted(inference.NETWORKS), default='r50')
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu')
    parser.add_argument('--precision', choices=['float32', 'tf32', 'bf16'], default='bf16')
    parser.add_argument('--compile', action='store_true', help='give the network to torch.compile')
    parser.add_argument(
        '--size', type=int, nargs=2, default=(720, 1280), metavar=('H', 'W'), help='720 1280'
    )
    parser.add_argument('--frames', type=int, default=100, metavar='N', help='(default: 100)')
    parser.add_argument('--kept', type=int, default=10, metavar='N', help='queries (default: 10)')
    parser.add_argument('--repeat', type=int, default=2, metavar='N', help='best of N (default: 2)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with one_line_errors(), tempfile.TemporaryDirectory() as folder:
        if min(args.frames, args.repeat, args.kept, *args.size) < 1:
            raise InputError('--frames, --repeat, --kept, --size: at least 1')
        if args.device == 'cuda' and not torch.cuda.is_available():
            raise InputError('--device cuda: no GPU was found')
        logging.disable(logging.WARNING)
        path = make_video(folder, args.frames, tuple(args.size))
        inferencer = make_inferencer(folder, args)
        objects = 0

        def decode() -> None:
            with open_source(path) as source:
                for _ in source:
                    pass

        def tracked(*make: str) -> None:
            nonlocal objects
            objects = 0
            with open_source(path) as source:
                frames = inferencer.stream(source)
                outputs = Outputs([])
                if 'json' in make:
                    ids = list(range(1, len(inferencer.classes) + 1))
                    outputs.outputs.append(
                        YouTubeVISOutput(
                            os.path.join(folder, 'tracks.json'),
                            lambda: inferencer.result,
                            1,
                            ids,
                            inferencer.classes,
                        )
                    )
                if 'video' in make:
                    drawn = os.path.join(folder, 'drawn.mp4')
                    outputs.outputs.append(VideoOutput(drawn, source.fps, FrameDrawer()))
                for frame in frames:
                    outputs.write(frame)
                    objects += len(frame.identities)
                outputs.close()

        ways = {
            'decoded alone': decode,
            'tracked, nothing written': tracked,
            'to JSON': lambda: tracked('json'),
            'to JSON and a drawn video': lambda: tracked('json', 'video'),
        }
        best: dict[str, float] = {}
        for timed in range(args.repeat + 1):
            for name, run in ways.items():
                start = time.perf_counter()
                run()
                if timed:
                    best[name] = min(best.get(name, 1e9), time.perf_counter() - start)
        print(f'Machine: {machine(args.device)}\n')
        h, w = args.size
        print(
            f'A video of {args.frames} frames of {w}x{h}, {args.network}, {args.precision}, '
            f'{objects / args.frames:.1f} objects a frame; best of {args.repeat} runs:\n'
        )
        print(header('from the file', 'frames/s', 'ms a frame'))
        for name, seconds in best.items():
            each = seconds / args.frames
            print(row(name, f'{1 / each:.1f}', f'{1000 * each:.1f}'))


if __name__ == '__main__':
    main()
