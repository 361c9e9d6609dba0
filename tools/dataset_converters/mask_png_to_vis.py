"""Masks as indexed PNGs (DAVIS, YouTube-VOS) as a data set in the format of YouTube-VIS.

TREE has JPEGImages/VIDEO/00000.jpg and Annotations/VIDEO/00000.png, or both with a folder for the
resolution between, as DAVIS. The value of a pixel is the number of its object, 0 is background, 255
is void and becomes background.
"""

import argparse
from pathlib import Path

from mmvis_cl.datasets.mask_png import (
    VOID,
    ObjectClasses,
    folder_of_videos,
    read_mask_pngs,
    read_object_classes,
)
from mmvis_cl.engine.cli import one_line_errors
from mmvis_cl.engine.converter_cli import add_output_options, check_options, show_progress, write
from mmvis_cl.errors import InputError


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('tree', type=Path, metavar='TREE')
    parser.add_argument(
        '--images', type=Path, metavar='DIR', help='folders of images (default: TREE/JPEGImages)'
    )
    parser.add_argument(
        '--masks', type=Path, metavar='DIR', help='folders of PNGs (default: TREE/Annotations)'
    )
    parser.add_argument(
        '--videos',
        type=Path,
        metavar='LIST.txt',
        help='names of the videos to take, one a line, as ImageSets/2017/train.txt of DAVIS',
    )
    classes = parser.add_mutually_exclusive_group()
    classes.add_argument(
        '--class', dest='name', default='object', help='of all objects (default: %(default)s)'
    )
    classes.add_argument(
        '--classes',
        type=Path,
        metavar='FILE',
        help='.csv with the columns video, object, class; .json as {"video": {"1": "class"}}; or '
        'the meta.json of YouTube-VOS',
    )
    parser.add_argument(
        '--binary', action='store_true', help='every value but 0 is the one object of the video'
    )
    parser.add_argument('--no-void', action='store_true', help='255 is an object like others')
    parser.add_argument(
        '--drop-unlabelled', action='store_true', help='leave out images that have no PNG'
    )
    add_output_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with one_line_errors():
        check_options(args)
        videos = None
        if args.videos:
            try:
                videos = list(dict.fromkeys(args.videos.read_text().split()))
            except (OSError, UnicodeDecodeError) as error:
                raise InputError(f'{args.videos}: cannot be read ({error}); give a list') from error
            if not videos:
                raise InputError(f'{args.videos}: is empty; give names of videos, one a line')
        classes = read_object_classes(args.classes) if args.classes else None
        write(
            args,
            read_mask_pngs(
                args.images or folder_of_videos(args.tree / 'JPEGImages'),
                args.masks or folder_of_videos(args.tree / 'Annotations'),
                classes or ObjectClasses(default=args.name),
                videos=videos,
                binary=args.binary,
                void=None if args.no_void else VOID,
                drop_unlabelled=args.drop_unlabelled,
                progress=show_progress,
            ),
        )


if __name__ == '__main__':
    main()
