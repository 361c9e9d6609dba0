"""Make the moving-shapes data set: synthetic videos with masks, in YouTube-VIS format."""

import argparse

from mmvis_cl.datasets.converters.moving_shapes import make_moving_shapes
from mmvis_cl.errors import one_line_errors


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument('--out', default='data/moving_shapes', help='the folder to make')
    parser.add_argument('--seed', type=int, default=0, help='one seed, one data set')
    parser.add_argument('--train-videos', type=int, default=240)
    parser.add_argument('--valid-videos', type=int, default=16)
    parser.add_argument('--length', type=int, default=16, help='frames in a video')
    parser.add_argument(
        '--size', type=int, nargs=2, default=(160, 96), metavar=('W', 'H'), help='in pixels'
    )
    parser.add_argument(
        '--long-gaps',
        action='store_true',
        help='two objects of a video look alike, are away for 5 to 60 frames, as far as --length '
        'has room, and come back elsewhere',
    )
    parser.add_argument(
        '--force', action='store_true', help='replace moving shapes that are there already'
    )
    args = parser.parse_args()
    with one_line_errors():
        written = make_moving_shapes(
            args.out,
            seed=args.seed,
            train_videos=args.train_videos,
            valid_videos=args.valid_videos,
            length=args.length,
            size=tuple(args.size),
            force=args.force,
            long_gaps=args.long_gaps,
        )
    state = 'written' if written else 'already there, left as it is'
    print(
        f'{args.out}: {args.train_videos} training and {args.valid_videos} validation videos of '
        f'{args.length} frames, {state}'
    )


if __name__ == '__main__':
    main()
