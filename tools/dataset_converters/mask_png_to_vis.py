"""Masks as PNGs (DAVIS, YouTube-VOS, SAM 2, MOTS) as a data set in the format of YouTube-VIS.

TREE has JPEGImages/VIDEO/00000.jpg and Annotations/VIDEO/00000.png, or both with a folder for the
resolution between, as DAVIS; or images/ and instances/, as MOTS. The value of a pixel is the number
of its object, 0 is background, 255 is void and becomes background. A video may have a folder for
each object, Annotations/VIDEO/000/00000.png, in which every value but 0 is that object.
"""

import argparse
import os
from pathlib import Path

from mmvis_cl.datasets.converters.frame_files import folders_in
from mmvis_cl.datasets.converters.mask_png import VOID, folder_of_videos, read_mask_pngs
from mmvis_cl.datasets.converters.object_classes import (
    KITTI_MOTS,
    LABELS,
    MOTS_FACTOR,
    MOTS_IGNORED,
    MOTSClasses,
    ObjectClasses,
    read_labels,
    read_object_classes,
)
from mmvis_cl.engine.converter_cli import add_output_options, check_options, show_progress, write
from mmvis_cl.errors import InputError, one_line_errors
from mmvis_cl.json_file import read_table

LAYOUTS = (('JPEGImages', 'Annotations'), ('images', 'instances'), ('image_02', 'instances'))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('tree', type=Path, metavar='TREE')
    parser.add_argument(
        '--images',
        type=Path,
        metavar='DIR',
        help='folders of images (default: TREE/JPEGImages, TREE/images or TREE/image_02)',
    )
    parser.add_argument(
        '--masks',
        type=Path,
        metavar='DIR',
        help='folders of PNGs (default: TREE/Annotations or TREE/instances)',
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
    classes.add_argument(
        '--mots',
        nargs='?',
        const='',
        metavar='LABELS.txt',
        help='a value is class * 1000 + object, 10000 is an ignore region; names of the classes 1, '
        f'2, ..., one a line (default: {LABELS} beside the PNGs, else {" and ".join(KITTI_MOTS)})',
    )
    parser.add_argument(
        '--class-factor',
        type=int,
        metavar='N',
        help=f'as --mots, with class * N + object; 0: values of {MOTS_FACTOR} and more are numbers '
        'of objects and no more',
    )
    parser.add_argument(
        '--ignore-regions',
        choices=('drop', 'crowd'),
        default='drop',
        help='of --mots: make them background, or crowds of all classes, so that scores ignore '
        'what is found there; trained on as background in both cases (default: %(default)s)',
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
        images, masks = _folders(args)
        write(
            args,
            read_mask_pngs(
                images,
                masks,
                _classes(args, masks),
                videos=_names(args.videos),
                binary=args.binary,
                void=None if args.no_void else VOID,
                drop_unlabelled=args.drop_unlabelled,
                progress=show_progress,
            ),
        )


def _folders(args: argparse.Namespace) -> tuple[Path, Path]:
    """Those that hold the images and the PNGs of the videos."""
    layouts = [(args.tree / images, args.tree / masks) for images, masks in LAYOUTS]
    there = [layout for layout in layouts if all(map(os.path.isdir, layout))]
    images, masks = (there or layouts)[0]
    images = args.images or folder_of_videos(images)
    names = [folder.name for folder in folders_in(images)] if os.path.isdir(images) else []
    return images, args.masks or folder_of_videos(masks, names)


def _classes(args: argparse.Namespace, masks: Path) -> ObjectClasses | MOTSClasses:
    """What the options say of classes."""
    factor = args.class_factor
    if factor is None and args.mots is not None:
        factor = MOTS_FACTOR
    if not factor:
        if factor == 0 and args.mots is not None:
            raise InputError('--class-factor 0 says that there are no classes; leave out --mots')
        if args.classes:
            return read_object_classes(args.classes)
        return ObjectClasses(default=args.name, plain=factor == 0)
    for option, given in (('--classes', args.classes), ('--binary', args.binary)):
        if given:
            raise InputError(f'{option}: excludes --mots and --class-factor; give one of them')
    if factor < 2:
        raise InputError(f'--class-factor {factor}: must be 2 or more, or 0; in MOTS it is 1000')
    beside = masks / LABELS
    if args.mots or os.path.isfile(beside):
        names = read_labels(Path(args.mots) if args.mots else beside)
    elif factor == MOTS_FACTOR:
        names = KITTI_MOTS
    else:
        raise InputError(f'--class-factor {factor}: needs names; give --mots LABELS.txt')
    ignored = MOTS_IGNORED if factor == MOTS_FACTOR else None
    return MOTSClasses(names, factor, ignored, args.ignore_regions == 'crowd')


def _names(path: Path | None) -> list[str] | None:
    """The videos that a list names; None without a list."""
    if path is None:
        return None
    names = list(dict.fromkeys(read_table(path).split()))
    if not names:
        raise InputError(f'{path}: is empty; give names of videos, one a line')
    return names


if __name__ == '__main__':
    main()
