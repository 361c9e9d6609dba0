"""Track thousands of videos: by several workers, on one machine or many.

  mmvis-cl track-all videos/ --out tracked --config r50_ytvis21 --weights idol.pth --workers 4

SOURCES are videos, folders (all videos and folders of images in them and below), patterns in
quotes, lists (.txt, .csv or .jsonl: a path or address a line, with optional id, start, end and
classes), an annotation file of YouTube-VIS with --images, or addresses that fsspec knows (s3://,
gs://, http://). DIR gets a folder for each video, named after its id: its path in the folder that
was given. What has a record there is not tracked again: to go on after whatever happened, give the
command again. A video that cannot be tracked does not stop the others; the exit code is 1 then.
"""

import argparse
import os
import sys
from typing import TYPE_CHECKING

from mmvis_cl.cli import track_options
from mmvis_cl.errors import InputError, exit_code
from mmvis_cl.many.defaults import OUTPUTS

if TYPE_CHECKING:
    from mmvis_cl.many.run import Summary

_SHOWN = 20  # failed videos in the table; all of them are in failed.jsonl


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument('sources', metavar='SOURCES', nargs='+', help='the videos, see above')
    parser.add_argument(
        '--out', required=True, metavar='DIR', help='folder of the results, or an address as s3://'
    )
    parser.add_argument(
        '--pattern',
        metavar='P',
        help="of the videos in folders, as '*.mp4': their path in the folder, or their name "
        '(default: all videos and folders of images)',
    )
    parser.add_argument(
        '--images', metavar='DIR', help='folder from which the paths in annotation files start'
    )
    track_options.add_model_options(parser)
    track_options.add_selection_options(parser)
    outputs = parser.add_argument_group('outputs, in the folder of each video')
    for kind, what in dict(
        json='tracks in the result format of YouTube-VIS; what is written if none is asked for',
        coco='videos, images, annotations and categories as in COCO, with track ids',
        video='masks, classes, identities and scores drawn on the video (H.264)',
        masks='an indexed PNG a frame as in DAVIS',
        **track_options.LABELLING,
    ).items():
        outputs.add_argument(f'--out-{kind}', action='store_true', help=f'{OUTPUTS[kind]}: {what}')
    track_options.add_output_options(outputs)
    going_on = parser.add_argument_group('going on')
    going_on.add_argument(
        '--overwrite',
        action='store_true',
        help='track anew what is done, by these options or by others',
    )
    going_on.add_argument('--retry-failed', action='store_true', help='track anew what failed')
    going_on.add_argument(
        '--accept-damaged',
        action='store_true',
        help='a video of which some frames cannot be read is done with the others, not failed',
    )
    going_on.add_argument(
        '--timeout', type=float, metavar='S', help='seconds that a video may take'
    )
    sharing = parser.add_argument_group('sharing out')
    sharing.add_argument(
        '--workers',
        type=int,
        metavar='N',
        help='processes, each with a model of its own (default: one for each device); with Ray the '
        'most at once (default: as many as the cluster has room for); 0: no process but this one',
    )
    sharing.add_argument(
        '--devices',
        metavar='D',
        help='GPUs of the workers in turn, as 0,1,2,3 or all; or cpu (default: --device)',
    )
    sharing.add_argument(
        '--engine',
        choices=('local', 'ray'),
        default='local',
        help='processes of this machine, or actors of a Ray cluster (default: %(default)s)',
    )
    sharing.add_argument(
        '--ray-address',
        metavar='A',
        help='of the cluster, as auto or ray://HOST:10001 (default: one of this machine alone)',
    )
    sharing.add_argument(
        '--gpus-per-worker',
        type=float,
        metavar='G',
        help='with Ray, as 0.5 (default: 1 where the cluster has GPUs)',
    )
    sharing.add_argument(
        '--shard',
        metavar='I/N',
        help='only the videos whose ids belong to part I of N, I from 0 on (default in an array of '
        "Slurm: the task's)",
    )
    sharing.add_argument('--limit', type=int, metavar='N', help='track at most so many videos now')
    sharing.add_argument(
        '--videos-per-pass',
        type=int,
        default=1,
        metavar='N',
        help='frames of so many videos of one size go through the network together (default: 1)',
    )
    telling = parser.add_argument_group('telling')
    telling.add_argument('-v', '--verbose', action='store_true', help='show what each worker is at')
    telling.add_argument(
        '--log',
        metavar='FILE',
        help='what workers and libraries say goes there (default: track_all.log in DIR)',
    )


def check_arguments(args: argparse.Namespace) -> None:
    """What can be known to be wrong before torch is imported.

    Raises:
        InputError: An argument, the config or a file does not do.
    """
    track_options.check_values(args)
    track_options.check_model(args)
    _shard(args)
    for source in args.sources:
        if source.lower().endswith('.json') and args.images is None:
            raise InputError(
                f'{source}: is an annotation file; say by --images where its images are'
            )
    if args.devices is not None and args.device is not None:
        raise InputError('--device and --devices: both are given; give one of the two')
    ray_options = {'--ray-address': args.ray_address, '--gpus-per-worker': args.gpus_per_worker}
    for option, value in ray_options.items():
        if value is not None and args.engine != 'ray':
            raise InputError(f'{option}: is for Ray alone; give --engine ray as well')
    if args.gpus_per_worker is not None and args.gpus_per_worker < 0:
        raise InputError(f'--gpus-per-worker {args.gpus_per_worker}: is too low; give 0 or more')
    if args.workers is not None and args.workers < 0:
        raise InputError(
            f'--workers {args.workers}: are too few; give 1 or more, or 0 for this process'
        )


def run(args: argparse.Namespace) -> int:
    """Track the videos.

    Returns:
        0; 1 if one could not be tracked; 130 or 143 if it was interrupted or terminated.

    Raises:
        InputError: An argument, the model or the folder does not do.
    """
    from mmvis_cl.apis.track_all import devices_of, track_all
    from mmvis_cl.cli.many_progress import ManyProgress

    check_arguments(args)
    shard, told = _shard(args)
    videos = track_all(
        args.sources,
        args.out,
        args.config,
        args.weights,
        outputs=[kind for kind in OUTPUTS if getattr(args, f'out_{kind.replace("-", "_")}')]
        or ['json'],
        workers=args.workers,
        devices=[args.device] if args.devices is None else devices_of(args.devices),
        engine=args.engine,
        ray_address=args.ray_address,
        gpus_per_worker=args.gpus_per_worker,
        pattern=args.pattern,
        images=args.images,
        shard=shard,
        limit=args.limit,
        overwrite=args.overwrite,
        retry_failed=args.retry_failed,
        accept_damaged=args.accept_damaged,
        timeout=args.timeout,
        log=args.log,
        start=args.start,
        max_frames=args.max_frames,
        classes=args.classes,
        score_thr=args.score_thr,
        trails=args.trails,
        sound=not args.no_sound,
        cvat_shapes=args.cvat_shapes,
        category_ids=args.category_ids,
        annotations=args.annotations,
        amp=args.amp,
        tf32=args.tf32,
        compile_network=args.compile,
        tta=args.tta,
        cfg_options=track_options.cfg_options_of(args),
        videos_per_pass=args.videos_per_pass,
    )
    summary = videos.summary
    print(
        f'{summary.videos} videos{told}: {summary.before} were done before, '
        f'{len(summary.failed)} had failed, {len(videos)} to do',
        flush=True,
    )
    stop = None
    try:
        with ManyProgress(videos, verbose=args.verbose) as progress:
            for record in videos:
                progress.ended(record)
    except KeyboardInterrupt as error:
        stop = error
    _print_table(args, videos.summary)
    if stop is not None:
        print('interrupted; give the command again to go on', file=sys.stderr)
        return exit_code(stop)
    return 1 if summary.failed else 0


def _shard(args: argparse.Namespace) -> tuple[tuple[int, int], str]:
    """The shard that is asked for, by option or by Slurm, and how to tell of it."""
    if args.shard is not None:
        parts = args.shard.split('/')
        if len(parts) != 2 or not all(p.isascii() and p.isdecimal() for p in parts):
            raise InputError(f'--shard {args.shard}: is none; give it as 0/8, up to 7/8')
        index, count = map(int, parts)
        if index >= count:
            raise InputError(
                f'--shard {args.shard}: the parts count from 0; of {count} the last is '
                f'{max(0, count - 1)}/{count}'
            )
        return (index, count), f' in shard {index}/{count}'
    names = ('ID', 'COUNT', 'MIN', 'MAX')
    said = [os.environ.get(f'SLURM_ARRAY_TASK_{name}', '') for name in names]
    if not said[0].isdecimal() or not said[1].isdecimal():
        return (0, 1), ''
    task, count = int(said[0]), int(said[1])
    first = int(said[2]) if said[2].isdecimal() else 0
    last = int(said[3]) if said[3].isdecimal() else first + count - 1
    if last - first + 1 != count or not first <= task <= last:
        raise InputError(
            f'this array of Slurm has {count} tasks from {first} to {last}; number them without '
            'gaps, as --array=0-7, or give --shard'
        )
    return (task - first, count), f' in shard {task - first}/{count} (of the array of Slurm)'


def _print_table(args: argparse.Namespace, summary: 'Summary') -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    failed = summary.failed
    if failed:
        table = Table('failed', 'why', box=None)
        for record in failed[:_SHOWN]:
            table.add_row(escape(record.id), escape(record.error))
        console.print(table)
        if len(failed) > _SHOWN:
            console.print(f'and {len(failed) - _SHOWN} more, in failed.jsonl')
    print(
        f'{summary.done} done, {summary.before} before, {len(failed)} failed, {summary.left} left; '
        f'{summary.frames} frames in {summary.seconds:.1f} s, {summary.rate:.1f} frames/s'
    )
    print(f'written: {args.out}')
