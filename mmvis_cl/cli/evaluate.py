"""Score a result file by the official YouTube-VIS evaluation: AP and AR of tracks."""

import argparse
import os

from mmvis_cl.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        'results',
        metavar='RESULTS',
        help='a result .json, a submission .zip, or a folder of mmvis-cl track-all',
    )
    parser.add_argument(
        'annotations', metavar='ANNOTATIONS', help='annotation file in the format of YouTube-VIS'
    )
    parser.add_argument(
        '--long-videos',
        metavar='WHICH',
        type=lambda text: int(text) if text.isdecimal() else text,
        help='score short and long videos apart too, and take the mean, as YouTube-VIS 2022 does. '
        'WHICH are long: a number (so many frames or more), a .json or .txt file with their ids or '
        'a .json with their annotations, or a key that long videos have in ANNOTATIONS',
    )
    parser.add_argument('--json', metavar='OUT', help='write all figures, unrounded, to this file')


def check_arguments(args: argparse.Namespace) -> None:
    """What is wrong before torch is imported: files that are not there."""
    for path in (args.results, args.annotations):
        if not os.path.exists(path):
            raise InputError(f'{path}: no such file')


def run(args: argparse.Namespace) -> int:
    """Print the scores, and write them if asked.

    Raises:
        InputError: See `evaluate_tracks`, or a file cannot be written.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from mmvis_cl.engine.cli import write_figures
    from mmvis_cl.evaluation import evaluate_tracks, format_scores

    scores = evaluate_tracks(
        args.results, args.annotations, details=True, long_videos=args.long_videos
    )
    print(
        f'{scores["num_results"]} results for {scores["num_tracks"]} annotated tracks in '
        f'{scores["num_videos"]} videos'
    )
    if args.long_videos is not None:
        print(
            f'{scores["num_videos_short"]} videos with {scores["num_tracks_short"]} tracks are '
            f'short, {scores["num_videos_long"]} with {scores["num_tracks_long"]} are long'
        )
    print(format_scores(scores))
    columns = ('AP', 'AP50', 'AP75', 'AR1', 'AR10', 'tracks', 'results')
    table = Table('class', box=None)
    for column in columns:
        table.add_column(column, justify='right')
    for name, figures in scores['per_class'].items():
        cells = [
            str(value) if isinstance(value, int) else '-' if value < 0 else f'{value:.3f}'
            for value in (figures[column] for column in columns)
        ]
        table.add_row(escape(name), *cells)
    Console().print(table)
    if args.json:
        write_figures(args.json, scores)
        print(f'written to {args.json}')
    return 0
