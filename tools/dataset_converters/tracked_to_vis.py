"""What mmvis-cl track-all wrote as a data set in the format of YouTube-VIS: pseudo-labels.

The videos must have been tracked with --out-coco. Frames are taken from where the videos lie.
Tracks with a low mean score are left out: a training believes what it is given.
"""

import argparse
from pathlib import Path

from mmvis_cl.datasets.converters.tracked_folder import read_tracked_folder
from mmvis_cl.engine.converter_cli import add_output_options, check_options, write
from mmvis_cl.errors import one_line_errors


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('tracked', type=Path, metavar='DIR', help='that track-all wrote')
    parser.add_argument(
        '--frames',
        type=Path,
        metavar='DIR',
        help='folder in which the videos lie by their ids (default: where they were tracked)',
    )
    parser.add_argument(
        '--annotations',
        type=Path,
        metavar='FILE.json',
        help='the annotation file that was the source of track-all, if one was',
    )
    parser.add_argument(
        '--min-score',
        type=float,
        default=0.5,
        metavar='S',
        help='leave out tracks with a lower mean score (default: %(default)s)',
    )
    add_output_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with one_line_errors():
        check_options(args)
        write(
            args,
            read_tracked_folder(args.tracked, args.frames, args.annotations, args.min_score),
        )


if __name__ == '__main__':
    main()
