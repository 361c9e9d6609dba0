"""Videos annotated with CVAT ("CVAT for video 1.1") as a data set in the format of YouTube-VIS.

Each task is a video. The frames come from --frames: a folder of images, a video file, or a folder
that holds one of both for each task, with the task's name, its id or its source's name. Masks,
polygons and ellipses become masks; a shape that is "outside" is not seen.
"""

import argparse
from pathlib import Path

from mmvis_cl.datasets.converters.cvat_video import NO_AREAS, read_cvat
from mmvis_cl.engine.converter_cli import add_box_option, add_output_options, check_options, write
from mmvis_cl.errors import InputError, one_line_errors


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'annotations',
        nargs='+',
        type=Path,
        metavar='ANNOTATIONS',
        help='annotations.xml, or the zip with it, of one or more tasks, jobs or projects',
    )
    parser.add_argument(
        '--frames', type=Path, required=True, metavar='PATH', help='images or video, see above'
    )
    parser.add_argument(
        '--identity',
        default='auto',
        metavar='auto|track|group|attribute:NAME',
        help='what makes shapes one object: a track; a group; the same value of an attribute; or, '
        'as auto, the attribute "identity" of a mask, else the group, else the track (default: '
        '%(default)s)',
    )
    parser.add_argument(
        '--ignore',
        nargs='+',
        choices=NO_AREAS,
        default=(),
        help='kinds of shapes that have no area and are to be left out',
    )
    parser.add_argument(
        '--drop-unlabelled',
        action='store_true',
        help='leave out frames that a track skips without being outside (frames between keyframes, '
        'deleted frames), and frames without an image',
    )
    add_box_option(parser)
    add_output_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with one_line_errors():
        check_options(args)
        kind, _, name = args.identity.partition(':')
        if args.identity not in ('auto', 'track', 'group') and not (kind == 'attribute' and name):
            raise InputError(
                f'--identity {args.identity}: unknown; give auto, track, group or attribute:NAME'
            )
        write(
            args,
            read_cvat(
                args.annotations,
                args.frames,
                boxes=args.boxes,
                ignore=args.ignore,
                identity=args.identity,
                drop_unlabelled=args.drop_unlabelled,
            ),
        )


if __name__ == '__main__':
    main()
