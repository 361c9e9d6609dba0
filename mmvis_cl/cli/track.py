"""Track every object in a video: a video in, tracked masks out.

  mmvis-cl track walk.mp4 --config r50_ytvis21 --weights idol.pth

SOURCE is a video file, a folder of images, a pattern such as 'frames/*.jpg' (in quotes), the number
of a camera (0) or an RTSP or HTTP address. Without an --out option or --show the drawn video is
written to NAME_tracked.mp4 in the current folder. Files of that name are overwritten. Ctrl-C ends
the tracking; all outputs then hold what was done so far. Of several SOURCEs each is a video of its
own; an --out option then names a folder.
"""

import argparse
import os
import re
import sys
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mmvis_cl.category_ids import ids_of_classes, parse_category_ids
from mmvis_cl.config_names import find_config
from mmvis_cl.errors import InputError, exit_code, in_one_line, shortened
from mmvis_cl.files import check_empty_folder, check_folder, check_new_file

if TYPE_CHECKING:
    from mmvis_cl.apis import VideoSource, VISInferencer
    from mmvis_cl.outputs import Outputs
    from mmvis_cl.structures import FrameResult
    from mmvis_cl.visualization import FrameDrawer, Window

SHOWN_SCORE = 0.3
IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff', '.ppm', '.pgm')
_SUFFIXES = {'--out-video': '.mp4', '--out-json': '.json', '--out-coco': '.json', '--out-masks': ''}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        'source', metavar='SOURCE', nargs='+', help='the videos, see above, one after the other'
    )
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
        '--tf32',
        action='store_true',
        help='on a GPU, let float32 products use 10 of the 23 bits after the point: faster, with '
        'slightly other results',
    )
    model.add_argument(
        '--compile',
        action='store_true',
        help='give the network to torch.compile: faster, but the first frames wait for it',
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
        help='tracks in the result format of YouTube-VIS, which mmvis-cl eval reads; `category` '
        'names the class of each category id',
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
    ids = outputs.add_mutually_exclusive_group()
    ids.add_argument(
        '--annotations',
        metavar='FILE.json',
        help='take the category ids of --out-json and --out-coco from the categories of this '
        'annotation file (default: 1, 2, ... in the order of the classes)',
    )
    ids.add_argument(
        '--category-ids',
        nargs='+',
        metavar='ID',
        help='the same by hand: an id for each class in their order, or NAME=ID for each',
    )
    outputs.add_argument(
        '--no-sound', action='store_true', help="leave the video's sound out of --out-video"
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


def check_arguments(args: argparse.Namespace) -> None:
    """What can be known to be wrong before torch is imported.

    Raises:
        InputError: An argument, the config, a file or an output does not do.
    """
    if args.trails < 0:
        raise InputError(f'--trails {args.trails}: at least 0 is needed')
    if args.score_thr is not None and not 0 <= args.score_thr < 1:
        raise InputError(f'--score-thr {args.score_thr}: must be from 0 to below 1')
    if args.start < 0:
        raise InputError(f'--start {args.start}: frames are counted from 0; give that or more')
    if args.max_frames is not None and args.max_frames < 1:
        raise InputError(f'--max-frames {args.max_frames}: at least 1 is needed')
    _check_outputs(args)
    if args.category_ids:
        parse_category_ids(args.category_ids)
    if args.annotations is not None and not os.path.isfile(args.annotations):
        raise InputError(f'--annotations {args.annotations}: there is no such file')
    if args.config is not None:
        find_config(args.config)
    if '://' not in args.weights and not os.path.isfile(args.weights):
        raise InputError(f'--weights {args.weights}: there is no such checkpoint; correct the path')
    sources = args.source
    images = [s for s in sources if s.lower().endswith(IMAGE_SUFFIXES)]
    if len(sources) > 2 and len(images) == len(sources):
        raise InputError(
            f'{len(images)} images as SOURCE, the first {images[0]}; to track them as one video '
            "give their folder, or the pattern in quotes, as 'frames/*.jpg'"
        )
    if len(sources) > 1 and args.show:
        raise InputError('--show: takes one SOURCE; leave it out, or give one')


def run(args: argparse.Namespace) -> int:
    """Track the videos, one after the other.

    Returns:
        0; 2 if one of several could not be tracked; 130 if it was interrupted.

    Raises:
        InputError: An argument, the only source, the model or an output does not do.
    """
    from mmvis_cl.threads import set_threads, warn_if_busy

    warn_if_busy(set_threads())
    check_arguments(args)
    if len(args.source) == 1:
        return _track_source(args, args.source[0], None, set())
    inferencer = _inferencer(args)
    failed: list[str] = []
    names: set[str] = set()
    for number, source in enumerate(args.source):
        job = argparse.Namespace(**vars(args) | dict(video_id=args.video_id + number))
        try:
            code = _track_source(job, source, inferencer, names)
        except InputError as error:
            failed.append(source)
            print(f'error: {in_one_line(error)}', file=sys.stderr, flush=True)
            continue
        if code:
            return code
    if failed:
        shown = shortened(', '.join(failed))
        print(f'{len(failed)} of {len(args.source)} SOURCEs failed: {shown}', file=sys.stderr)
    return 2 if failed else 0


def _inferencer(args: argparse.Namespace) -> 'VISInferencer':
    from mmvis_cl.apis import VISInferencer

    return VISInferencer(
        args.config,
        args.weights,
        args.device,
        amp=args.amp,
        tf32=args.tf32,
        compile_network=args.compile,
        tta=args.tta,
    )


def _track_source(
    args: argparse.Namespace, given: str, inferencer: 'VISInferencer | None', names: set[str]
) -> int:
    """Track one source; ``names`` are those that outputs of earlier ones have."""
    from mmvis_cl.apis import open_source
    from mmvis_cl.visualization import FrameDrawer, Window

    with ExitStack() as stack:
        source = stack.enter_context(open_source(given, args.start, args.max_frames))
        alone = len(args.source) == 1
        if not (_wanted(args) or args.show):
            args.out_video = _file_name(source.name, '_tracked.mp4', names)
        elif not alone:
            name = _file_name(source.name, '', names)
            for option, folder in _wanted(args).items():
                path = os.path.join(folder, name + _SUFFIXES[option])
                setattr(args, option[2:].replace('-', '_'), path)
        _check_paths(args, given)
        window = None
        if args.show:
            window = Window(f'mmvis_cl: {source.name} (q ends)')
            stack.callback(window.close)
        inferencer = inferencer or _inferencer(args)
        drawer = FrameDrawer(trails=args.trails)
        return _track(args, source, inferencer, drawer, window)


def _file_name(name: str, end: str, names: set[str]) -> str:
    """A name for a file of a source, that fits into the file system and that no other has."""
    name = re.sub(r'[^\w.-]+', '_', name)
    room = 255 - len(end) - 20  # 20: a number, or a suffix
    name = name.encode()[:room].decode(errors='ignore') or 'video'
    unique, number = name, 2
    while unique in names:
        unique, number = f'{name}_{number}', number + 1
    names.add(unique)
    return unique + end


def _wanted(args: argparse.Namespace) -> dict[str, str]:
    """Path of each output that is asked for, by its option."""
    paths = {option: getattr(args, option[2:].replace('-', '_')) for option in _SUFFIXES}
    return {option: path for option, path in paths.items() if path is not None}


def _check_outputs(args: argparse.Namespace) -> None:
    """Of one source: files; of several: folders of files."""
    if len(args.source) == 1:
        _check_paths(args, args.source[0])
        return
    for option, path in _wanted(args).items():
        suffix = _SUFFIXES[option]
        if suffix and path.lower().endswith(suffix):
            raise InputError(
                f'{option} {path}: is one file for {len(args.source)} SOURCEs; give a folder, in '
                'which each gets a file of its name'
            )
        check_folder(path)


def _check_paths(args: argparse.Namespace, source: str) -> None:
    taken = {os.path.realpath(source): 'SOURCE'}
    for option, path in _wanted(args).items():
        other = taken.setdefault(os.path.realpath(path), option)
        if other != option:
            raise InputError(f'{option} {path}: is {other} too; give another name')
        try:
            if _SUFFIXES[option]:
                check_new_file(path, _SUFFIXES[option])
            else:
                check_empty_folder(path)
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
    done, identities, trouble, hidden = 0, set(), None, 0.0
    with progress, closing(frames):
        try:
            for frame in frames:
                if args.score_thr is None:
                    hidden = max(hidden, frame.scores.max(initial=0))
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
        return exit_code(trouble)
    if isinstance(trouble, InputError) and finished:
        raise InputError(f'{trouble} (the {done} frames before are in {finished})') from trouble
    if trouble is not None:
        raise trouble
    print(
        f'{source.name}: {done} frames, {len(identities)} identities, {progress.rate:.1f} frames/s'
    )
    if not identities and args.score_thr is not None:
        print(f'nothing scored above --score-thr {args.score_thr}; lower it to see more')
    elif not identities and hidden:
        print(
            f'nothing scored above {SHOWN_SCORE}, the best {hidden:.2f}; --score-thr '
            f'{max(0.0, hidden - 0.05):.2f} shows it'
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

    category_ids = ids_of_classes(inferencer.classes, args.category_ids, args.annotations)
    make = {
        '--out-video': lambda path: VideoOutput(
            path,
            source.fps,
            drawer,
            sample_aspect_ratio=source.sample_aspect_ratio,
            sound=None if args.no_sound else source.sound,
        ),
        '--out-json': lambda path: YouTubeVISOutput(
            path, lambda: inferencer.result, args.video_id, category_ids, inferencer.classes
        ),
        '--out-coco': lambda path: COCOVideoOutput(
            path, inferencer.classes, source.name, source.fps, args.video_id, category_ids
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
    shown: dict[str, Any] = {name: getattr(frame, name)[index] for name in arrays}
    shown |= {name: [getattr(frame, name)[i] for i in index] for name in lists}
    return replace(frame, **shown)
