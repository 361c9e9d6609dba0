"""The options that the commands share which track: ``track`` and ``track-all``."""

import argparse
import os
from typing import Any

from mmvis_cl.category_ids import parse_category_ids
from mmvis_cl.config_names import find_config
from mmvis_cl.errors import InputError
from mmvis_cl.many.defaults import SHOWN_SCORE
from mmvis_cl.weights.door import check_name


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the group of options that say which model runs, and how."""
    model = parser.add_argument_group('model')
    model.add_argument(
        '--config',
        help='config file, or the name alone of one that comes with mmvis_cl, as r50_ytvis21; a '
        'checkpoint of ours knows the config of its training, and weights of a name theirs, which '
        'is taken if none is given',
    )
    model.add_argument(
        '--weights',
        required=True,
        metavar='FILE|NAME',
        help='checkpoint, of ours or of a release; or a name that mmvis-cl weights lists, or an '
        'address (https://..., hf://OWNER/NAME/FILE), which is fetched once',
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
    model.add_argument(
        '--cfg-options',
        nargs='+',
        metavar='KEY=VALUE',
        help='override settings of the config, as model.tracker.max_unseen=60; after SOURCE',
    )


def cfg_options_of(args: argparse.Namespace) -> dict[str, Any] | None:
    """What ``--cfg-options`` says.

    Raises:
        InputError: One of them is not ``KEY=VALUE``.
    """
    if not args.cfg_options:
        return None
    from mmvis_cl.config.options import read_option

    return dict(map(read_option, args.cfg_options))


def add_selection_options(parser: argparse.ArgumentParser) -> None:
    """Add the group of options that say which frames and objects are wanted."""
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


# For tables and tools in which people correct what was found, by the kind of the output.
LABELLING = {
    'csv': 'a table: frame, time, identity, class, score, box, area and RLE',
    'mots': 'the text format of KITTI-MOTS and MOTS20: frame, object, class, size and RLE',
    'cvat': 'for CVAT ("CVAT for video 1.1"), to be corrected; cvat_to_vis.py reads it back',
    'label-studio': 'for Label Studio, as boxes that have their masks with them; '
    'label_studio_to_vis.py reads it back',
    'fiftyone': 'for FiftyOne: the video and its labels, a FiftyOneVideoLabelsDataset',
}


def add_output_options(outputs: argparse._ArgumentGroup) -> None:
    """Add to a group what outputs of any kind have."""
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
        '--cvat-shapes',
        choices=('polygons', 'masks'),
        default='polygons',
        help='of --out-cvat: polygons, which are tracks, a pixel off at most (IoU of 0.97 and '
        'more); or masks, which are exact, but a track for each frame, for CVAT has no tracks of '
        'masks: the labels of its task need a text attribute "identity" (default: polygons)',
    )
    outputs.add_argument(
        '--no-sound', action='store_true', help="leave the video's sound out of --out-video"
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


def check_values(args: argparse.Namespace) -> None:
    """What can be known to be wrong with the values of these options before torch is imported.

    Raises:
        InputError: One is out of range.
    """
    if args.trails < 0:
        raise InputError(f'--trails {args.trails}: at least 0 is needed')
    if args.score_thr is not None and not 0 <= args.score_thr < 1:
        raise InputError(f'--score-thr {args.score_thr}: must be from 0 to below 1')
    if args.start < 0:
        raise InputError(f'--start {args.start}: frames are counted from 0; give that or more')
    if args.max_frames is not None and args.max_frames < 1:
        raise InputError(f'--max-frames {args.max_frames}: at least 1 is needed')


def check_model(args: argparse.Namespace) -> None:
    """What can be known to be wrong with the files and names that these options give.

    Raises:
        InputError: One is not there.
    """
    if args.category_ids:
        parse_category_ids(args.category_ids)
    if args.annotations is not None and not os.path.isfile(args.annotations):
        raise InputError(f'--annotations {args.annotations}: there is no such file')
    if args.config is not None:
        find_config(args.config)
    check_name(args.weights, '--weights ')
