"""A frame of CTVIS, ours against its own way, on a CPU.

``python tools/benchmarks/ctvis.py`` runs the network of ``configs/ctvis/r50_ytvis19.py`` with
random weights on frames of 480x854, then association and masks of the original size. Its own way:
deformable attention by mmcv's plain PyTorch, ``nn.MultiheadAttention``, masks of all queries in
every layer, those of all frames kept until the video's end. Ours is what tracking and testing use.
Both take turns, with one set of weights, and some ten queries a frame are kept. Prints a table in
Markdown: CPU and wall seconds a frame, and their ratio; then the most memory that a process needs
for a short and a longer video, each way in a process of its own; then what ours spends its time on.
"""

import argparse
import multiprocessing
from multiprocessing.connection import Connection

import torch
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttention
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import DefaultScope
from timing import best_times, header, machine, peak_memory, row
from torch.profiler import ProfilerActivity, profile

from mmvis_cl.config_names import find_config
from mmvis_cl.engine.cli import one_line_errors
from mmvis_cl.errors import InputError
from mmvis_cl.fast.fast_inference import prepare_for_inference
from mmvis_cl.models import ContrastiveVIS, GatherDeformableAttention
from mmvis_cl.models.detectors.query_mask_former import MaskQueryStates
from mmvis_cl.registry import MODELS

H, W = 480, 854
KEPT = 10  # queries of a frame
PADDED = 480, 864


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--config', default='ctvis/r50_ytvis19')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--frames', type=int, default=5, help='of the video that is timed')
    parser.add_argument('--repeat', type=int, default=2, help='runs of each that are timed')
    parser.add_argument(
        '--lengths', type=int, nargs=2, default=(5, 15), help='of the videos for the memory'
    )
    return parser.parse_args()


def build(config: str, their_way: bool, shift: float = 0.0) -> ContrastiveVIS:
    """The model with weights that are the same either way.

    Args:
        config: Of the network.
        their_way: Deformable attention by mmcv's plain PyTorch, and nothing prepared.
        shift: Added to the logit of 'no object'.
    """
    cfg = Config.fromfile(find_config(config)).model
    cfg.detector.backbone.init_cfg = None
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        model = MODELS.build(cfg).eval()
    with torch.no_grad():
        model.detector.panoptic_head.cls_embed.bias[-1] += shift
    if not their_way:
        prepare_for_inference(model)
        return model
    for module in model.modules():
        if type(module) is GatherDeformableAttention:  # the same parameters
            module.__class__ = MultiScaleDeformableAttention
    return model


@torch.no_grad()
def shift_that_keeps_some(model: ContrastiveVIS, video: 'Video') -> float:
    """How far the logit of 'no object' must move for some ten queries to score enough."""
    states = model.detector.query_states(video.frames, video.samples)
    scores, lowest = states.cls_scores[-1][0], model.detector.test_cfg['score_thr']
    best, every = scores[:, :-1].max(1).values.exp(), scores[:, :-1].exp().sum(1)
    needed = (best / lowest - every).clamp(min=1e-6).log() - scores[:, -1]
    return float(needed.sort(descending=True).values[KEPT])


class Video:
    """Frames of noise, and the two ways through them."""

    def __init__(self, model: ContrastiveVIS, frames: int) -> None:
        torch.manual_seed(2)
        self.model, self.length = model, frames
        self.frames = torch.zeros(1, 3, *PADDED)
        self.frames[..., :H, :W] = torch.randn(1, 3, H, W)
        self.samples = [DetDataSample(metainfo=dict(img_shape=(H, W), ori_shape=(H, W)))]

    @torch.no_grad()
    def their_way(self) -> int:
        """All frames through the network, then all through the association."""
        model, kept = self.model, []
        for _ in range(self.length):
            states = model.detector.query_states(self.frames, self.samples)
            last = MaskQueryStates(
                states.states, states.logits, states.cls_scores[-1:], states.masks[-1:], [(H, W)]
            )
            kept.append(last)
        session = model.start_video('video', self.length, (H, W))
        for states in kept:
            model.track_frame(session, states, 0, (H, W))
        return len(session.result.tracks)

    @torch.no_grad()
    def ours(self) -> int:
        """Frame by frame."""
        session = self.model.start_video('video', self.length, (H, W))
        for _ in range(self.length):
            self.model.track_frames(session, self.frames, self.samples)
        return len(session.result.tracks)


def memory(config: str, their_way: bool, shift: float, length: int, pipe: Connection) -> None:
    """Sends the most memory of this process, MiB, after a video."""
    torch.set_num_threads(1)
    video = Video(build(config, their_way, shift), length)
    video.their_way() if their_way else video.ours()
    pipe.send(peak_memory())


def memory_of(*args: object) -> float:
    """The most memory of a process of its own, MiB."""
    context = multiprocessing.get_context('spawn')
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=memory, args=(*args, there))
    process.start()
    there.close()
    try:
        return here.recv()
    except EOFError as error:
        raise InputError('a process that measures memory ended; see above') from error
    finally:
        process.join()


def main() -> None:
    args = parse_args()
    if min(args.frames, args.threads, args.repeat, *args.lengths) < 1:
        raise InputError('--frames, --threads, --repeat, --lengths: too small; give 1 or more')
    torch.set_num_threads(args.threads)
    theirs = Video(build(args.config, their_way=True), args.frames)
    shift = shift_that_keeps_some(theirs.model, theirs)
    with torch.no_grad():
        theirs.model.detector.panoptic_head.cls_embed.bias[-1] += shift
    ours = Video(build(args.config, False, shift), args.frames)
    print(f'{args.config}, {args.frames} frames of {H}x{W}; {machine()}\n')
    times = best_times(dict(theirs=theirs.their_way, ours=ours.ours), args.repeat)
    print(header('seconds a frame', 'its own way', 'ours', 'ratio'))
    for name, i in (('CPU', 0), ('wall', 1)):
        one, other = (times[key][i] / args.frames for key in ('theirs', 'ours'))
        print(row(name, f'{one:.2f}', f'{other:.2f}', f'{one / other:.2f}'))
    print()
    print(header('most memory, MiB', *(f'{n} frames' for n in args.lengths), 'more a frame'))
    for name, their_way in (('its own way', True), ('ours', False)):
        found = [memory_of(args.config, their_way, shift, n) for n in args.lengths]
        more = (found[1] - found[0]) / max(args.lengths[1] - args.lengths[0], 1)
        print(row(name, *(f'{mib:.0f}' for mib in found), f'{more:.1f}'))
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        Video(ours.model, 1).ours()
    events = sorted(profiled.key_averages(), key=lambda event: -event.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events)
    print()
    print(header('operation of ours', 'calls', 'share'))
    for event in events[:8]:
        share = event.self_cpu_time_total / total
        print(row(f'`{event.key}`', event.count, f'{share:.0%}'))


if __name__ == '__main__':
    with one_line_errors():
        main()
