"""Hide real objects behind others for long, to see whether their identities outlast that.

From videos with masks in the format of YouTube-VIS: a data set of longer ones, with valid.json.
"""

import argparse

from mmvis_cl.datasets.converters.hidden_objects import hide_objects
from mmvis_cl.errors import one_line_errors


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('annotations', metavar='ANNOTATIONS', help='of the videos, with masks')
    parser.add_argument('--images', required=True, metavar='DIR', help='folder of their images')
    parser.add_argument('--out', required=True, metavar='DIR', help='the folder to make')
    parser.add_argument(
        '--gap',
        type=int,
        nargs=2,
        default=(12, 40),
        metavar=('LOW', 'HIGH'),
        help='frames in which an object is hidden (default: 12 to 40)',
    )
    parser.add_argument(
        '--length',
        type=int,
        default=72,
        help='frames of each video, which goes forward and backward (default: %(default)s)',
    )
    parser.add_argument('--seed', type=int, default=0, help='one seed, one data set (default: 0)')
    args = parser.parse_args()
    with one_line_errors():
        written = hide_objects(
            args.annotations, args.images, args.out, tuple(args.gap), args.length, args.seed
        )
    print(f'{args.out}: {written} videos of {args.length} frames')


if __name__ == '__main__':
    main()
