"""Time and memory of a frame on its way through the network, and what each trick saves.

``python tools/benchmarks/inference.py`` runs the r50 network with random weights on frames of
480x854, first as the authors' release works (mmcv's transformer in PyTorch, masks of all queries by
grouped convolutions), then with one trick more at a time, association and RLE included. It prints
tables in Markdown: CPU and wall seconds a frame, the ratio to the first row, and the largest
difference of class probabilities and boxes (in units of the frame's size) from the first row; where
the time goes; how it grows; and the peak memory of short and long videos.
"""

import argparse
import copy
import logging
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import process_time

import torch
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttention
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import DefaultScope
from timing import best_times, header, machine, peak_memory, row
from torch import Tensor
from torch.nn import functional as F

from mmvis_cl.engine.cli import one_line_errors
from mmvis_cl.errors import InputError
from mmvis_cl.fast.fast_inference import prepare_for_inference
from mmvis_cl.models import ContrastiveVIS, GatherDeformableAttention
from mmvis_cl.models.dense_heads.dynamic_mask_head import aligned_bilinear
from mmvis_cl.registry import MODELS

CONFIGS = Path(__file__).parents[2] / 'configs' / 'vis_cl'
NETWORKS = dict(r50='r50_ytvis21.py', small='small_moving-shapes.py')
SIZE = (480, 854)
RELEASE = "the release's way, frame by frame"
DEFAULT = '+ packed linear layers with their ReLUs: the default'


class Video:
    """Frames of one size, made when asked for: a coarse random picture that drifts."""

    def __init__(self, size: tuple[int, int], length: int, device: str) -> None:
        self.size, self.length, self.device = size, length, device
        height, width = (-(-side // 32) * 32 for side in size)
        coarse = torch.randn(1, 3, 12, 40, generator=torch.Generator().manual_seed(0))
        self.picture = F.interpolate(coarse, (height, 2 * width), mode='bicubic')[0].to(device)

    def frames(self, start: int, stop: int) -> tuple[Tensor, list[DetDataSample]]:
        """Frames as the data preprocessor gives them, and their samples."""
        h, w = self.size
        shape = stop - start, *self.picture.shape[:2], -(-w // 32) * 32
        frames = torch.zeros(shape, device=self.device)
        for frame, t in zip(frames, range(start, stop), strict=True):
            shift = 4 * t % w
            frame[:, :h, :w] = self.picture[:, :h, shift : shift + w]
        meta = dict(img_shape=self.size, ori_shape=self.size)
        return frames, [DetDataSample(metainfo=meta) for _ in frames]


def make_model(network: str, video: Video, kept: int, **detector: object) -> ContrastiveVIS:
    """A network with random weights whose ``kept`` best queries go all the way to the results.

    Those of random weights resemble each other, so that no NMS must take any away.
    """
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        cfg = Config.fromfile(CONFIGS / NETWORKS[network]).model
        cfg.detector.backbone.init_cfg = None
        cfg.detector.update(detector)
        model = MODELS.build(cfg)
    model.init_weights()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.3, 0.6)
            torch.nn.init.normal_(module.running_mean, std=0.1)
        elif isinstance(module, MultiScaleDeformableAttention):
            for linear in (module.sampling_offsets, module.attention_weights):
                torch.nn.init.normal_(linear.weight, std=1 / module.embed_dims**0.5)
    head = model.detector.bbox_head
    for branch in head.cls_branches:
        torch.nn.init.normal_(branch.weight, std=0.1)
    model = model.eval().to(video.device)
    # what is kept must start identities as well, or nothing would be associated
    threshold = max(model.tracker.first_thr, model.tracker.new_thr)
    model.detector.test_cfg = dict(model.detector.test_cfg, score_thr=threshold, nms_iou_thr=1.0)
    model.test_cfg = dict(model.test_cfg, mask_nms_thr=1.0)
    model.tracker.background_iou_thr = 1.1
    logits = model.query_states(*video.frames(0, 1)).logits[-1, 0].max(1).values
    ranked = logits.sort(descending=True).values
    kept = min(kept, len(logits) - 1)
    between = (ranked[kept - 1] + ranked[kept]) / 2
    head.cls_branches[-1].bias.data += torch.tensor(threshold).logit() - between
    return model


def use_plain_attention(model: ContrastiveVIS) -> None:
    """Give the transformer back mmcv's attention."""
    for module in model.modules():
        if type(module) is GatherDeformableAttention:
            module.__class__ = MultiScaleDeformableAttention


def grouped_masks(
    head: torch.nn.Module, features: Tensor, states: Tensor, centers: Tensor
) -> Tensor:
    """What the mask head computes, by three convolutions with a group a query."""
    n, (h, w) = len(states), features.shape[-2:]
    stride, half = head.feat_stride, head.feat_stride // 2
    x = (torch.arange(w, device=states.device) * stride + half).expand(h, w)
    y = (torch.arange(h, device=states.device) * stride + half)[:, None].expand(h, w)
    offsets = centers[:, :, None, None] - torch.stack((x, y))
    hidden = torch.cat((offsets, features.expand(n, *features.shape)), 1).reshape(1, -1, h, w)
    params = head.controller(states).split(head.split_sizes, 1)
    for i, (c_out, c_in) in enumerate(head.weight_shapes):
        weight = params[i].reshape(n * c_out, c_in, 1, 1)
        hidden = F.conv2d(hidden, weight, params[3 + i].flatten(), groups=n)
        hidden = hidden.relu() if i < 2 else hidden
    return aligned_bilinear(hidden.view(n, 1, h, w), stride // head.out_stride)[:, 0]


def track_as_release(model: ContrastiveVIS, video: Video, clip: int) -> int:
    """Track a video as the authors' release does; gives the number of tracks.

    The frames go through the network in clips, the dense masks of all queries of all frames are
    kept, and what is wanted of them is chosen when the network has seen the whole video.
    """
    detector = model.detector
    size = torch.tensor(video.size[::-1], device=video.device)
    outputs = []
    for start in range(0, video.length, clip):
        frames, samples = video.frames(start, min(start + clip, video.length))
        states = model.query_states(frames, samples)
        last = (states.logits[-1], states.boxes[-1], model.embed_head(states.states[-1]))
        masks = []
        for t in range(len(frames)):
            features = detector.mask_head.mask_features([m[t : t + 1] for m in states.maps])
            centers = states.centers[-1, t] * size
            masks.append(
                grouped_masks(detector.mask_head, features[0], states.states[-1, t], centers)
            )
        outputs += zip(*last, torch.stack(masks), strict=True)
    session = model.start_video(0, video.length, video.size)
    for logits, boxes, embeds, masks in outputs:
        index, prob = detector.select_queries(logits, boxes)
        session.add_frame(prob, boxes[index], embeds[index], masks[index], video.size)
    return len(session.result.tracks)


def track(model: ContrastiveVIS, video: Video, per_pass: int = 1) -> int:
    """Track a whole video; gives the number of tracks."""
    session = model.start_video(0, video.length, video.size)
    for start in range(0, video.length, per_pass):
        stop = min(start + per_pass, video.length)
        model.track_frames(session, *video.frames(start, stop))
    return len(session.result.tracks)


def make_variants(
    model: ContrastiveVIS, video: Video, clip: int
) -> dict[str, tuple[ContrastiveVIS, Callable]]:
    """The models and what is timed, from the release's way to one trick more each.

    The last ones are options on top of what ``tools/test.py`` does by default.
    """
    release, kept, last, fused, default, low = (copy.deepcopy(model) for _ in range(6))
    use_plain_attention(release)
    prepare_for_inference(kept, fuse_bn=False, convs_channels_last=False, packed_linear=False)
    prepare_for_inference(fused, convs_channels_last=False, packed_linear=False)
    prepare_for_inference(last, packed_linear=False)
    prepare_for_inference(default)
    prepare_for_inference(low)
    low.test_cfg = dict(low.test_cfg, autocast='bfloat16')

    def inference_mode(of: ContrastiveVIS, video: Video) -> int:
        with torch.inference_mode():
            return track(of, video)

    return {
        RELEASE: (release, partial(track_as_release, clip=1)),
        f'the same in clips of {clip} (its default)': (
            release,
            partial(track_as_release, clip=clip),
        ),
        '+ compiled attention': (model, partial(track_as_release, clip=1)),
        '+ masks of kept queries only: the plain model': (model, track),
        '+ what is kept of a size, wide layers in steps': (kept, track),
        '+ fused batch norms, sums and ReLUs': (fused, track),
        '+ channels_last': (last, track),
        DEFAULT: (default, track),
        'default in inference_mode': (default, inference_mode),
        f'default, {clip} frames a pass': (default, partial(track, per_pass=clip)),
        'default in bfloat16 (--amp)': (low, track),
    }


def difference(model: ContrastiveVIS, video: Video, expected: tuple[Tensor, Tensor]) -> float:
    """The largest one of class probabilities and boxes in the first frame."""
    found = outputs(model, video)
    return max(float((a - b).abs().max()) for a, b in zip(found, expected, strict=True))


def outputs(model: ContrastiveVIS, video: Video) -> tuple[Tensor, Tensor]:
    """Class probabilities and boxes of all queries in the first frame."""
    states = model.query_states(*video.frames(0, 1))
    return states.logits[-1].sigmoid(), states.boxes[-1]


def tricks_table(video: Video, args: argparse.Namespace) -> None:
    """What each trick saves, and where the time goes before and after."""
    model = make_model(args.network, video, args.kept)
    variants = make_variants(model, video, args.clip)
    times = best_times(
        {name: partial(run, of, video) for name, (of, run) in variants.items()},
        args.repeat,
        args.device,
    )
    expected = outputs(variants[RELEASE][0], video)
    print(
        f'A frame of {video.size[0]}x{video.size[1]} through the {args.network} network, '
        f'{args.kept} of {model.detector.num_queries} queries kept by the score threshold, '
        f'association and RLE included; best of {args.repeat} runs of {video.length} frames:\n'
    )
    print(
        header('', 'CPU s', 'wall s', 'frames/s', 'CPU ratio', 'wall ratio', 'largest difference')
    )
    for name, (of, _) in variants.items():
        cpu, wall = (seconds / video.length for seconds in times[name])
        ratios = (a / b for a, b in zip(times[RELEASE], times[name], strict=True))
        print(
            row(
                name,
                f'{cpu:.2f}',
                f'{wall:.2f}',
                f'{1 / wall:.2f}',
                *(f'{ratio:.1f}' for ratio in ratios),
                f'{difference(of, video, expected):.0e}',
            )
        )
    if args.device == 'cpu':
        stages_table({name: variants[name] for name in (RELEASE, DEFAULT)}, video)


def stages_table(variants: dict[str, tuple[ContrastiveVIS, Callable]], video: Video) -> None:
    """CPU seconds a frame of the network's parts."""
    columns = []
    for model, run in variants.values():
        seconds = defaultdict(float)
        detector = model.detector
        parts = dict(
            backbone=detector.backbone,
            neck=detector.neck,
            encoder=detector.encoder,
            decoder=detector.decoder,
        )
        attentions = [layer.self_attn for layer in detector.encoder.layers]
        inside = {f'attention {i}': module for i, module in enumerate(attentions)}
        for name, part in (parts | inside).items():
            part.forward = _timed(part.forward, seconds, name)
        start = process_time()
        run(model, video)
        total = process_time() - start
        for part in (parts | inside).values():
            del part.forward
        column = {name: seconds[name] for name in parts}
        column['heads, masks, selection, association, RLE'] = total - sum(column.values())
        column['all'] = total
        column['of the encoder, attention'] = sum(seconds[name] for name in inside)
        columns.append({name: value / video.length for name, value in column.items()})
    print('\nWhere the CPU seconds of a frame go:\n')
    print(header('', *variants))
    for name in columns[0]:
        print(row(name, *(f'{column[name]:.3f}' for column in columns)))


def _timed(call: Callable, seconds: dict[str, float], name: str) -> Callable:
    def timed(*args: object, **kwargs: object) -> object:
        start = process_time()
        result = call(*args, **kwargs)
        seconds[name] += process_time() - start
        return result

    return timed


def growth_table(args: argparse.Namespace) -> None:
    """The release's way and the default for larger frames, more queries, more kept objects."""
    print('\nHow a frame grows:\n')
    cells = ('CPU s', 'wall s', 'default CPU s', 'default wall s', 'CPU ratio', 'wall ratio')
    print(header('frame, queries, kept', *cells))
    cases = [(size, 300, args.kept) for size in ((240, 426), (360, 640), SIZE, (720, 1280))]
    cases += [(SIZE, 100, args.kept), (SIZE, 900, args.kept), (SIZE, 300, 5), (SIZE, 300, 200)]
    for size, queries, kept in cases:
        video = Video(size, 1, args.device)
        model = make_model(args.network, video, kept, num_queries=queries)
        reference = copy.deepcopy(model)
        use_plain_attention(reference)
        prepare_for_inference(model)
        variants = dict(
            plain=partial(track_as_release, reference, video, 1), ours=partial(track, model, video)
        )
        times = best_times(variants, args.repeat, args.device)
        (cpu, wall), (our_cpu, our_wall) = times['plain'], times['ours']
        print(
            row(
                f'{size[0]}x{size[1]}, {queries}, {kept}',
                *(f'{seconds:.2f}' for seconds in (cpu, wall, our_cpu, our_wall)),
                f'{cpu / our_cpu:.1f}',
                f'{wall / our_wall:.1f}',
            ),
            flush=True,
        )


def memory_table(args: argparse.Namespace) -> None:
    """Peak memory of processes that track one video each."""
    print(f'\nPeak resident memory of a process that tracks a video of {SIZE[0]}x{SIZE[1]}:\n')
    print(header('', 'frames', 'tracks', 'MiB'))
    clip = ('--clip', str(args.clip))
    cases = [
        ("r50, the release's way", 'r50', args.clip, ('--release', *clip)),
        ('r50', 'r50', 1, ()),
        ('r50', 'r50', 36, ()),
        ('small', 'small', 36, ()),
        ('small', 'small', args.long_frames, ()),
    ]
    for name, network, frames, more in cases:
        command = [sys.executable, __file__, '--memory-of', network, '--frames', str(frames)]
        command += ['--kept', str(args.kept), '--threads', str(torch.get_num_threads()), *more]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        tracks, memory = done.stdout.split()[-2:]
        print(row(name, frames, tracks, memory), flush=True)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Time and memory of tracking, trick by trick.')
    parser.add_argument('--frames', type=int, default=10, metavar='N', help='a run (default: 10)')
    parser.add_argument('--repeat', type=int, default=3, metavar='N', help='best of N (default: 3)')
    parser.add_argument(
        '--kept',
        type=int,
        default=30,
        metavar='N',
        help='queries above the threshold (default: 30)',
    )
    parser.add_argument(
        '--size', type=int, nargs=2, default=SIZE, metavar=('H', 'W'), help='(default: 480 854)'
    )
    parser.add_argument(
        '--clip', type=int, default=10, metavar='N', help="frames of the release's clips"
    )
    parser.add_argument('--network', choices=list(NETWORKS), default='r50', help='(default: r50)')
    parser.add_argument('--threads', type=int, metavar='N', help="PyTorch's threads on the CPU")
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu')
    parser.add_argument(
        '--long-frames', type=int, default=600, metavar='N', help='of the long video (default: 600)'
    )
    parser.add_argument('--no-growth', action='store_true', help='leave out how a frame grows')
    parser.add_argument('--no-memory', action='store_true', help='leave out the peak memory')
    parser.add_argument('--release', action='store_true', help=argparse.SUPPRESS)
    parser.add_argument('--memory-of', choices=list(NETWORKS), help=argparse.SUPPRESS)
    return parser.parse_args()


@torch.no_grad()
def main() -> None:
    args = parse_args()
    with one_line_errors():
        if min(args.frames, args.repeat, args.kept, args.long_frames, args.clip, *args.size) < 1:
            raise InputError(
                '--frames, --repeat, --kept, --long-frames, --clip, --size: at least 1'
            )
        if args.device == 'cuda' and not torch.cuda.is_available():
            raise InputError('--device cuda: no GPU was found')
        if args.threads:
            torch.set_num_threads(args.threads)
        logging.disable(logging.INFO)  # what mmengine says of each initialised weight
        video = Video(tuple(args.size), args.frames, args.device)
        if args.memory_of:
            model = make_model(args.memory_of, video, args.kept)
            if args.release:
                use_plain_attention(model)
                tracks = track_as_release(model, video, args.clip)
            else:
                prepare_for_inference(model)
                tracks = track(model, video)
            print(tracks, round(peak_memory()))
            return
        print(f'Machine: {machine(args.device)}\n')
        tricks_table(video, args)
        if not args.no_growth:
            growth_table(args)
        if not args.no_memory:
            memory_table(args)


if __name__ == '__main__':
    main()
