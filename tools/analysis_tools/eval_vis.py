"""Score a result file by the official YouTube-VIS evaluation."""

import argparse
import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mmvis_cl.errors import InputError
from mmvis_cl.evaluation import evaluate_tracks, format_scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('results', help='a result .json, or a submission .zip')
    parser.add_argument('annotations', help='annotation file in the format of YouTube-VIS')
    parser.add_argument(
        '--long-videos',
        metavar='WHICH',
        type=lambda text: int(text) if text.isdecimal() else text,
        help='score short and long videos apart too, and take the mean, as YouTube-VIS 2022 does. '
        'WHICH are long: a number (so many frames or more), a .json or .txt file with their ids or '
        'a .json with their annotations, or a key that long videos have in ANNOTATIONS',
    )
    parser.add_argument('--json', metavar='OUT', help='write all figures, unrounded, to this file')
    args = parser.parse_args()
    try:
        scores = evaluate_tracks(
            args.results, args.annotations, details=True, long_videos=args.long_videos
        )
    except InputError as error:
        parser.exit(2, f'error: {error}\n')

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
        table.add_row(name, *cells)
    Console().print(table)
    if args.json:
        out = Path(args.json)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(scores, indent=2) + '\n')
        print(f'written to {out}')


if __name__ == '__main__':
    main()
