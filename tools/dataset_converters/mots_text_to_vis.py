"""Text files of KITTI-MOTS or MOTS20 as a data set in the format of YouTube-VIS.

TEXTS is a folder with VIDEO.txt for each video (instances_txt of KITTI-MOTS), or one such file. A
line has the frame, the object, its class, height, width and RLE; the class 10 is to be ignored.
"""

import argparse
from pathlib import Path

from mmvis_cl.datasets.converters.mots_text import read_mots_text
from mmvis_cl.datasets.converters.object_classes import KITTI_MOTS, MOTSClasses, read_labels
from mmvis_cl.engine.converter_cli import add_output_options, check_options, show_progress, write
from mmvis_cl.errors import one_line_errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('texts', type=Path, metavar='TEXTS')
    parser.add_argument(
        '--images',
        type=Path,
        required=True,
        metavar='DIR',
        help='folders of images, VIDEO/000000.png or, as in MOTS20, VIDEO/img1/000001.jpg',
    )
    parser.add_argument(
        '--labels',
        type=Path,
        metavar='LABELS.txt',
        help=f'names of the classes 1, 2, ..., one a line (default: {", ".join(KITTI_MOTS)})',
    )
    parser.add_argument(
        '--ignore-regions',
        choices=('drop', 'crowd'),
        default='drop',
        help='make them background, or crowds of all classes, so that scores ignore what is found '
        'there (default: %(default)s)',
    )
    add_output_options(parser)
    args = parser.parse_args()
    with one_line_errors():
        check_options(args)
        names = read_labels(args.labels) if args.labels else KITTI_MOTS
        classes = MOTSClasses(names, ignored_as_crowd=args.ignore_regions == 'crowd')
        write(args, read_mots_text(args.texts, args.images, classes, progress=show_progress))


if __name__ == '__main__':
    main()
