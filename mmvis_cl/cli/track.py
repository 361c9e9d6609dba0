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
from typing import TYPE_CHECKING

from mmvis_cl.category_ids import ids_of_classes, number_or_text
from mmvis_cl.cli import track_options
from mmvis_cl.errors import InputError, exit_code, in_one_line, shortened
from mmvis_cl.files import check_empty_folder, check_folder, check_new_file
from mmvis_cl.many.defaults import SHOWN_SCORE

if TYPE_CHECKING:
    from mmvis_cl.apis import VideoSource, VISInferencer
    from mmvis_cl.visualization import FrameDrawer, Window


IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff', '.ppm', '.pgm')
_SUFFIXES = {
    '--out-video': '.mp4',
    '--out-json': '.json',
    '--out-coco': '.json',
    '--out-masks': '',
    '--out-csv': '.csv',
    '--out-mots': '.txt',
    '--out-cvat': '.zip',
    '--out-label-studio': '.json',
    '--out-fiftyone': '',
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        'source', metavar='SOURCE', nargs='+', help='the videos, see above, one after the other'
    )
    track_options.add_model_options(parser)
    track_options.add_selection_options(parser)
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
    for kind, what in track_options.LABELLING.items():
        suffix = _SUFFIXES[f'--out-{kind}']
        metavar = f'FILE{suffix}' if suffix else 'DIR'
        outputs.add_argument(f'--out-{kind}', metavar=metavar, help=what)
    outputs.add_argument(
        '--show', action='store_true', help='show the tracking in a window; q ends it'
    )
    track_options.add_output_options(outputs)
    outputs.add_argument(
        '--video-id',
        type=number_or_text,
        default=1,
        metavar='ID',
        help="the video's id in --out-json and --out-coco, a number or text (default: 1)",
    )


def check_arguments(args: argparse.Namespace) -> None:
    """What can be known to be wrong before torch is imported.

    Raises:
        InputError: An argument, the config, a file or an output does not do.
    """
    track_options.check_values(args)
    _check_outputs(args)
    track_options.check_model(args)
    sources = args.source
    images = [s for s in sources if s.lower().endswith(IMAGE_SUFFIXES)]
    if len(sources) > 2 and len(images) == len(sources):
        raise InputError(
            f'{len(images)} images as SOURCE, the first {images[0]}; to track them as one video '
            "give their folder, or the pattern in quotes, as 'frames/*.jpg'"
        )
    if len(sources) > 1 and isinstance(args.video_id, str):
        raise InputError(
            f'--video-id {args.video_id}: several SOURCEs get ids from it on; give a number'
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
        cfg_options=track_options.cfg_options_of(args),
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
    from mmvis_cl.outputs import open_outputs

    progress = FrameProgress('tracking', source.length)
    frames = inferencer.stream(
        source,
        classes=args.classes,
        score_thr=args.score_thr,
        # otherwise a frame is done when it is written
        progress=progress.update if args.tta else None,
    )
    outputs = open_outputs(
        {option.removeprefix('--out-'): path for option, path in _wanted(args).items()},
        source,
        inferencer.classes,
        lambda: inferencer.result,
        video_id=args.video_id,
        category_ids=ids_of_classes(inferencer.classes, args.category_ids, args.annotations),
        drawer=drawer,
        sound=not args.no_sound,
        cvat_shapes=args.cvat_shapes,
    )
    done, identities, trouble, hidden = 0, set(), None, 0.0
    with progress, closing(frames):
        try:
            for frame in frames:
                if args.score_thr is None:
                    hidden = max(hidden, frame.scores.max(initial=0))
                    frame = frame.above(SHOWN_SCORE)
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
