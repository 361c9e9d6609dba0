"""What the command lines of the converters to YouTube-VIS share."""

import argparse
import os
import re
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from mmvis_cl.config_names import find_config
from mmvis_cl.datasets.converters.own_videos import (
    BOXES,
    Annotations,
    check_out,
    write_data_set,
)
from mmvis_cl.errors import InputError
from mmvis_cl.files import fitting_name, whole_file

BASE_CONFIG = 'r50_ytvis21'
# The results go beside the annotations: a name in work_dirs/ could be another data set's as well.
CONFIG = """\
# ResNet-50 on these videos; best from a checkpoint of other videos or of COCO (load_from).
_base_ = [{base!r}]

data_root = {quote}{{{{ fileDirname }}}}/{quote}
files = dict(data_root=data_root, data_prefix=dict(img_path='JPEGImages'), classes=None)
train_dataloader = dict(dataset=dict(files, ann_file='train.json'))
val_dataloader = dict(dataset=dict(files, ann_file='valid.json'))
test_dataloader = val_dataloader
val_evaluator = dict(
    ann_file=data_root + 'valid.json',
    outfile_prefix=data_root + 'results_valid',
    format_only=False,
)
test_evaluator = val_evaluator
model = dict(detector=dict(bbox_head=dict(num_classes={num_classes})))
train_cfg = dict(val_begin=0, val_interval=2000)
"""


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of :func:`write`."""
    parser.add_argument(
        '--out',
        type=Path,
        required=True,
        metavar='DIR',
        help='folder of the data set: gets SPLIT.json and JPEGImages/; may hold other splits',
    )
    parser.add_argument(
        '--split',
        choices=('train', 'valid', 'test'),
        default='train',
        help='what all videos are for (default: %(default)s)',
    )
    parser.add_argument(
        '--val-fraction',
        type=float,
        metavar='F',
        help='write train.json and valid.json, with this part of the videos in the latter '
        '(as split_vis.py)',
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='of --val-fraction; one seed, one split (default: 0)'
    )


def add_box_option(parser: argparse.ArgumentParser) -> None:
    """Add what to do with boxes, for formats that have them."""
    parser.add_argument(
        '--boxes',
        choices=BOXES,
        default='refuse',
        help='objects with a box and no mask: stop, take the whole box as the mask, or leave them '
        'out (default: %(default)s)',
    )


def check_options(args: argparse.Namespace) -> None:
    """Before anything is read.

    Raises:
        InputError: ``--val-fraction`` is out of its range or given with another ``--split``, or
            ``--out`` cannot be written.
    """
    if args.val_fraction is not None and not 0 < args.val_fraction < 1:
        raise InputError(
            f'--val-fraction {args.val_fraction}: must lie between 0 and 1; give 0.1 or so'
        )
    if args.val_fraction is not None and args.split != 'train':
        raise InputError(
            f'--val-fraction divides training videos, --split is {args.split}; give one of the two'
        )
    check_out(args.out, [args.split] if args.val_fraction is None else ['train', 'valid'])


def show_progress(items: Iterable, what: str, total: int) -> Iterable:
    """A bar on stderr, with the time left."""
    return track(items, what, total, console=Console(stderr=True))


def write(args: argparse.Namespace, annotations: Annotations) -> None:
    """Write the data set; say what is in it, and how to train on it.

    Args:
        args: With the options of :func:`add_output_options`.
        annotations: What was read.

    Raises:
        InputError: See :func:`write_data_set`.
    """
    reports = write_data_set(
        args.out,
        annotations,
        split=args.split,
        val_fraction=args.val_fraction,
        seed=args.seed,
        progress=show_progress,
    )
    columns = ('videos', 'frames', 'tracks', 'masks')
    table = Table('annotation file', *columns, box=None)
    for report in reports:
        table.add_row(
            str(report.files.ann_file), *(str(getattr(report, column)) for column in columns)
        )
    Console().print(table)
    for note in annotations.notes:
        print(f'note: {note}', file=sys.stderr)
    names = [category['name'] for category in annotations.categories]
    print(f'{len(names)} classes: {", ".join(names)}')
    config = _write_config(args.out, len(names))
    absent = [
        split for split in ('train', 'valid') if not os.path.exists(args.out / f'{split}.json')
    ]
    if absent:
        print(
            f'before training: {args.out / absent[0]}.json is not there; convert videos with '
            f'--split {absent[0]}'
            + (' or cut it from train.json with split_vis.py' if absent == ['valid'] else '')
        )
        return
    print('to train on it, from a checkpoint of other data:')
    command = f'python tools/train.py {shlex.quote(str(config))}'
    print(f'{command} --cfg-options load_from=CHECKPOINT')


def _write_config(root: Path, num_classes: int) -> Path:
    """A config that trains on a data set and scores on it; one that is there is left as it is."""
    name = re.sub(r'\W+', '_', root.resolve().name) or 'data'
    path = root / fitting_name(name, '.py', root)
    if not os.path.exists(path):
        base = os.path.relpath(find_config(BASE_CONFIG).resolve(), root.resolve())
        # mmengine puts the folder between the quotes as it is
        quote = '"' if "'" in str(root.resolve()) else "'"
        with whole_file(path) as file:
            file.write(CONFIG.format(base=base, num_classes=num_classes, quote=quote))
    return path
