"""Make pages of results: videos playing with their identities, switches, errors and scores.

mmvis-cl report RESULTS.json --annotations ANNOTATIONS.json --images IMAGES_DIR --out report.html
mmvis-cl report before=A.json after=B.json --annotations ANNOTATIONS.json --out report

An --out that ends in .html is one file that can be sent; else it is a folder with a page for each
video. Nothing is fetched when they are opened.
"""

import argparse
import os

from mmvis_cl.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        'results',
        nargs='+',
        metavar='[NAME=]RESULTS',
        help='result files, or folders of track-all; several are shown side by side',
    )
    parser.add_argument(
        '--annotations', metavar='FILE.json', help='YouTube-VIS annotations, for scores and errors'
    )
    parser.add_argument('--images', metavar='DIR', help='folder of the frames (default: grey ones)')
    parser.add_argument(
        '--out', required=True, metavar='FILE.html|DIR', help='what to write, see above'
    )
    parser.add_argument(
        '--height', type=int, default=270, help='of the frames, in pixels (default: %(default)s)'
    )
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.1,
        metavar='T',
        help='leave out results with a lower score (default: %(default)s)',
    )
    parser.add_argument('--videos', type=int, metavar='N', help='only the N worst')


def check_arguments(args: argparse.Namespace) -> None:
    """Files that are not there, and numbers out of range."""
    named: dict[str, str] = {}
    for given in args.results:
        name, sign, path = given.partition('=')
        if not sign or os.path.exists(given):
            name, path = os.path.splitext(os.path.basename(os.path.normpath(given)))[0], given
        if not os.path.exists(path):
            raise InputError(f'{path}: no such file or folder; correct the path')
        if not name or name in named:
            raise InputError(f'{given}: needs a name of its own; write it as NAME={path}')
        named[name] = path
    args.results = named
    for option in ('annotations', 'images'):
        path = getattr(args, option)
        if path is not None and not os.path.exists(path):
            raise InputError(f'--{option} {path}: no such file or folder; correct the path')
    if args.images is not None and args.annotations is None:
        raise InputError('--images: only annotations name the frames; give --annotations as well')
    if not 32 <= args.height <= 2160:
        raise InputError(f'--height {args.height}: must be from 32 to 2160; give such a number')
    if not 0 <= args.score_thr <= 1:
        raise InputError(f'--score-thr {args.score_thr:g}: scores are 0 to 1; give one of them')
    if args.videos is not None and args.videos < 1:
        raise InputError(f'--videos {args.videos}: at least 1 is needed; give that or more')


def run(args: argparse.Namespace) -> int:
    """Write the pages.

    Raises:
        InputError: See :func:`mmvis_cl.report.write.write_report`.
    """
    from mmvis_cl.report.write import write_report

    write_report(
        args.results,
        args.annotations,
        args.out,
        images=args.images,
        height=args.height,
        score_thr=args.score_thr,
        videos=args.videos,
        tell=print,
    )
    return 0
