"""Track every object in a video: a video in, tracked masks out.

  mmvis-cl track walk.mp4 --config r50_ytvis21 --weights idol.pth

SOURCE is a video file, a folder of images, a pattern such as 'frames/*.jpg' (in quotes), the number
of a camera (0) or an RTSP or HTTP address. Without an --out option or --show the drawn video is
written to NAME_tracked.mp4 in the current folder. Files of that name are overwritten. Ctrl-C ends
the tracking; all outputs then hold what was done so far.
"""

import argparse
import os
import re
import sys
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING

from mmvis_cl.errors import InputError

if TYPE_CHECKING:
    from mmvis_cl.apis import VideoSource, VISInferencer
    from mmvis_cl.outputs import Outputs
    from mmvis_cl.structures import FrameResult
    from mmvis_cl.visualization import FrameDrawer, Window

SHOWN_SCORE = 0.3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument('source', metavar='SOURCE', help='the video, see above')
    model = parser.add_argument_group('model')
    model.add_argument(
        '--config',
        help='config file, or the name alone of one that comes with mmvis_cl, as r50_ytvis21; a '
        'checkpoint of ours knows the config of its training, which is taken if none is given',
    )
    model.add_argument(
        '--weights',
        required=True,
        metavar='FILE',
        help="checkpoint, of ours or of the authors' release",
    )
    model.add_argument('--device', help='cuda, cuda:1, cpu (default: cuda if there is any)')
    model.add_argument(
        '--amp',
        action='store_true',
        help='run the network in bfloat16: faster on GPUs and on CPUs that have it, with slightly '
        'other results',
    )
    model.add_argument(
        '--tta',
        action='store_true',
        help="track at every size of the config's tta.scales and merge the tracks: slower and "
        'better; outputs are written at the end only',
    )
    which = parser.add_argument_group('what of it')
    which.add_argument(
        '--start', type=int, default=0, metavar='N', help='number of the first frame (default: 0)'
    )
    which.add_argument('--max-frames', type=int, metavar='N', help='stop after so many frames')
    which.add_argument(
        '--classes',
        nargs='+',
        metavar='NAME',
        help='only objects of these classes; after SOURCE, names with a space in quotes',
    )
    which.add_argument(
        '--score-thr',
        type=float,
        metavar='T',
        help=f'only objects with a score above this, 0 to 1 (default: {SHOWN_SCORE}, and in '
        "--out-json what the model's config says, for the evaluation needs the weak ones too)",
    )
    outputs = parser.add_argument_group('outputs')
    outputs.add_argument(
        '--out-video',
        metavar='FILE.mp4',
        help='masks, classes, identities and scores drawn on the video (H.264)',
    )
    outputs.add_argument(
        '--out-json',
        metavar='FILE.json',
        help='tracks in the result format of YouTube-VIS, which mmvis-cl eval reads; category ids '
        'are counted from 1 in the order of the classes',
    )
    outputs.add_argument(
        '--out-coco',
        metavar='FILE.json',
        help='videos, images, annotations and categories as in COCO, with track ids',
    )
    outputs.add_argument(
        '--out-masks',
        metavar='FOLDER',
        help='an indexed PNG a frame as in DAVIS: 0 or the number of the object, in order of '
        'appearance; the folder must be empty or absent',
    )
    outputs.add_argument(
        '--show', action='store_true', help='show the tracking in a window; q ends it'
    )
    outputs.add_argument(
        '--trails',
        nargs='?',
        type=int,
        const=30,
        default=0,
        metavar='N',
        help='draw where each object was in the last N frames (30 if N is left out)',
    )
    outputs.add_argument(
        '--video-id',
        type=int,
        default=1,
        metavar='ID',
        help="the video's id in --out-json and --out-coco (default: 1)",
    )


def run(args: argparse.Namespace) -> int:
    """Track the video.

    Returns:
        0, or 130 if it was interrupted.

    Raises:
        InputError: An argument, the source, the model or an output does not do.
    """
    from mmvis_cl.apis import VISInferencer, open_source
    from mmvis_cl.threads import set_threads, warn_if_busy
    from mmvis_cl.visualization import FrameDrawer, Window

    warn_if_busy(set_threads())

    # What can be known to fail fails here, before the model is loaded and the work begins.
    if args.trails < 0:
        raise InputError(f'--trails {args.trails}: at least 0 is needed')
    if args.score_thr is not None and not 0 <= args.score_thr < 1:
        raise InputError(f'--score-thr {args.score_thr}: must be from 0 to below 1')
    _check_outputs(args)
    with ExitStack() as stack:
        source = stack.enter_context(open_source(args.source, args.start, args.max_frames))
        if not (_wanted(args) or args.show):
            name = re.sub(r'[^\w.-]+', '_', source.name)
            args.out_video = f'{name}_tracked.mp4'
            _check_outputs(args)
        window = None
        if args.show:
            window = Window(f'mmvis_cl: {source.name} (q ends)')
            stack.callback(window.close)
        inferencer = VISInferencer(
            args.config, args.weights, args.device, amp=args.amp, tta=args.tta
        )
        drawer = FrameDrawer(trails=args.trails)
        return _track(args, source, inferencer, drawer, window)


def _wanted(args: argparse.Namespace) -> dict[str, str]:
    """Path of each output that is asked for, by its option."""
    options = ('--out-video', '--out-json', '--out-coco', '--out-masks')
    paths = {option: getattr(args, option[2:].replace('-', '_')) for option in options}
    return {option: path for option, path in paths.items() if path is not None}


def _check_outputs(args: argparse.Namespace) -> None:
    from mmvis_cl.outputs import COCOVideoOutput, PalettePNGOutput, VideoOutput, YouTubeVISOutput

    kinds = {
        '--out-video': VideoOutput,
        '--out-json': YouTubeVISOutput,
        '--out-coco': COCOVideoOutput,
        '--out-masks': PalettePNGOutput,
    }
    taken = {os.path.realpath(args.source): 'SOURCE'}
    for option, path in _wanted(args).items():
        other = taken.setdefault(os.path.realpath(path), option)
        if other != option:
            raise InputError(f'{option} {path}: is {other} too; give another name')
        try:
            kinds[option].check_path(path)
        except InputError as error:
            raise InputError(f'{option} {error}') from error


def _track(
    args: argparse.Namespace,
    source: 'VideoSource',
    inferencer: 'VISInferencer',
    drawer: 'FrameDrawer',
    window: 'Window | None',
) -> int:
    from mmvis_cl.cli.frame_progress import FrameProgress
    from mmvis_cl.cli.interrupts import interrupts_held

    progress = FrameProgress('tracking', source.length)
    frames = inferencer.stream(
        source,
        classes=args.classes,
        score_thr=args.score_thr,
        # otherwise a frame is done when it is written
        progress=progress.update if args.tta else None,
    )
    outputs = _open_outputs(args, source, inferencer, drawer)
    done, identities, trouble = 0, set(), None
    with progress, closing(frames):
        try:
            for frame in frames:
                if args.score_thr is None:
                    frame = _above(frame, SHOWN_SCORE)
                with interrupts_held():
                    outputs.write(frame)
                    done += 1
                if window is not None:
                    window.show(drawer.draw(frame))
                identities.update(frame.identities.tolist())
                if not args.tta:
                    progress.update(done)
                if window is not None and window.closed:
                    break
        except (Exception, KeyboardInterrupt) as error:
            trouble = error
    try:
        with interrupts_held():
            if done:
                outputs.close()
            else:
                outputs.discard()
    except KeyboardInterrupt:
        pass  # pressed while the outputs were being finished, which they are now
    except InputError as error:
        trouble = trouble or error

    finished = ', '.join(str(output.path) for output in outputs.outputs if output.finished)
    if isinstance(trouble, KeyboardInterrupt):
        so_far = f'; what was done is in {finished}' if finished else '; nothing was written'
        print(f'interrupted after {done} frames{so_far}', file=sys.stderr)
        return 130
    if isinstance(trouble, InputError) and finished:
        raise InputError(f'{trouble} (the {done} frames before are in {finished})') from trouble
    if trouble is not None:
        raise trouble
    print(
        f'{source.name}: {done} frames, {len(identities)} identities, {progress.rate:.1f} frames/s'
    )
    if finished:
        print(f'written: {finished}')
    return 0


def _open_outputs(
    args: argparse.Namespace,
    source: 'VideoSource',
    inferencer: 'VISInferencer',
    drawer: 'FrameDrawer',
) -> 'Outputs':
    from mmvis_cl.outputs import (
        COCOVideoOutput,
        Outputs,
        PalettePNGOutput,
        VideoOutput,
        YouTubeVISOutput,
    )

    make = {
        '--out-video': lambda path: VideoOutput(path, source.fps, drawer),
        '--out-json': lambda path: YouTubeVISOutput(path, lambda: inferencer.result, args.video_id),
        '--out-coco': lambda path: COCOVideoOutput(
            path, inferencer.classes, source.name, source.fps, args.video_id
        ),
        '--out-masks': PalettePNGOutput,
    }
    outputs = Outputs([])
    try:
        for option, path in _wanted(args).items():
            outputs.outputs.append(make[option](path))
    except BaseException:
        outputs.discard()
        raise
    return outputs


def _above(frame: 'FrameResult', score_thr: float) -> 'FrameResult':
    index = (frame.scores > score_thr).nonzero()[0]
    arrays = ('identities', 'labels', 'scores', 'bboxes')
    lists = ('classes', 'rles')
    return replace(
        frame,
        **{name: getattr(frame, name)[index] for name in arrays},
        **{name: [getattr(frame, name)[i] for i in index] for name in lists},
    )
