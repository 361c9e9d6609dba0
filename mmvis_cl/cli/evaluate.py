"""Score a result file: AP and AR of tracks as YouTube-VIS does, and how long identities last."""

import argparse
import os
from typing import Any

from mmvis_cl.errors import InputError

# The keys of MEASURES, which are not imported here for torch takes seconds.
METRICS = 'ap', 'hota', 'identity', 'clear', 'jf'


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
    parser.add_argument(
        '--metrics',
        nargs='+',
        default=['ap'],
        choices=METRICS,
        metavar='NAME',
        help='ap; hota (HOTA, DetA, AssA, LocA); identity (IDF1, IDP, IDR); clear (MOTSA, sMOTSA, '
        'identity switches, fragmentations); jf (J and F, as DAVIS has them) (default: ap)',
    )
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.0,
        metavar='X',
        help='tracks with a lower score do not count, but for ap: the other metrics know no order '
        'of tracks, and each one that is too many is an error (default: 0)',
    )
    parser.add_argument(
        '--boxes', action='store_true', help='compare boxes in place of masks, but for ap'
    )
    parser.add_argument('--json', metavar='OUT', help='write all figures, unrounded, to this file')


def check_arguments(args: argparse.Namespace) -> None:
    """What is wrong before torch is imported: files that are not there."""
    for path in (args.results, args.annotations):
        if not os.path.exists(path):
            raise InputError(f'{path}: no such file')
    if not 0 <= args.score_thr <= 1:
        raise InputError(f'--score-thr {args.score_thr:g}: scores are 0 to 1; give one of them')
    if args.long_videos is not None and 'ap' not in args.metrics:
        raise InputError(
            '--long-videos: only ap scores short and long videos apart; add ap to --metrics'
        )


def run(args: argparse.Namespace) -> int:
    """Print the scores, and write them if asked.

    Raises:
        InputError: See `evaluate_tracks`, or a file cannot be written.
    """
    from mmvis_cl.engine.cli import write_figures
    from mmvis_cl.evaluation.identity_measures import (
        check_measures,
        format_measures,
        identity_measures,
    )
    from mmvis_cl.evaluation.track_ap import checked_tracks, format_scores, score_tracks

    measures = [name for name in dict.fromkeys(args.metrics) if name != 'ap']
    check_measures(measures, args.boxes)
    tracks = checked_tracks(args.results, args.annotations)
    print(
        f'{len(tracks.predicted)} results for {len(tracks.annotated)} annotated tracks in '
        f'{len(tracks.videos)} videos'
    )
    scores: dict[str, Any] = dict(per_class={})
    if 'ap' in args.metrics:
        scores = score_tracks(tracks, details=True, long_videos=args.long_videos)
    if args.long_videos is not None:
        print(
            f'{scores["num_videos_short"]} videos with {scores["num_tracks_short"]} tracks are '
            f'short, {scores["num_videos_long"]} with {scores["num_tracks_long"]} are long'
        )
    if 'ap' in args.metrics:
        print(format_scores(scores))
        _print_classes(scores['per_class'])
    if measures:
        found = identity_measures(tracks, measures, args.score_thr, args.boxes)
        print(format_measures(found))
        of_classes = found.pop('per_class')
        _print_classes(of_classes)
        for name, figures in of_classes.items():
            scores['per_class'].setdefault(name, {}).update(figures)
        scores |= found
    if args.json:
        write_figures(args.json, scores)
        print(f'written to {args.json}')
    return 0


def _print_classes(per_class: dict[str, dict[str, Any]]) -> None:
    """A line of figures for each class; '-' where nothing is annotated."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table('class', box=None)
    for column in next(iter(per_class.values()), {}):
        table.add_column(column, justify='right')
    for name, figures in per_class.items():
        cells = [
            str(value) if isinstance(value, int) else '-' if value == -1 else f'{value:.3f}'
            for value in figures.values()
        ]
        table.add_row(escape(name), *cells)
    if per_class:
        Console().print(table)
