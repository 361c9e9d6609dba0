"""Tell where the AP of a result file is lost: by kind of error, class, length and video.

As in TIDE, each kind of error is mended alone and the AP computed again:

- class: the right object, another class;
- localisation: the masks do not fit well enough, or show too few frames of the object;
- association: right frame by frame, but an object is split into several tracks or several objects
  are merged into one;
- both: class and place are wrong;
- duplicate: another result has the object already;
- background: there is no object;
- missed: no result to mend is of the object.

And which identities are kept, by how many frames an object was not followed before.
"""

import argparse
from pathlib import Path

from matplotlib.figure import Figure
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mmvis_cl.engine.cli import one_line_errors, write_figures
from mmvis_cl.errors import InputError
from mmvis_cl.evaluation import analyse_errors, format_scores
from mmvis_cl.visualization.plots import (
    COLOURS,
    HATCHES,
    MARKERS,
    grouped_bars,
    plot_style,
    save_figure,
)


def plot_losses(found: dict) -> Figure:
    """Bars of what each kind of error costs."""
    losses = found['losses']
    figure = Figure(figsize=(6.5, 4.2), layout='constrained')
    axis = figure.subplots()
    labels = [f'{kind} ({figures["count"]})' for kind, figures in losses.items()]
    grouped_bars(
        axis,
        labels,
        {name: [figures[name] for figures in losses.values()] for name in ('AP50', 'AP')},
    )
    scores = found['scores']
    axis.set_title(f'where AP is lost: AP50 {scores["AP50"]:.3f}, AP {scores["AP"]:.3f}')
    axis.set_xlabel('AP gained by mending it alone (in brackets: errors at IoU 0.5)')
    axis.legend(loc='lower right')
    return figure


def plot_classes(found: dict) -> Figure:
    """AP and AP50 of each annotated class, the best on top."""
    classes = {
        f'{name} ({figures["tracks"]})': figures
        for name, figures in found['scores']['per_class'].items()
        if figures['AP'] >= 0
    }
    names = sorted(classes, key=lambda name: classes[name]['AP'])
    figure = Figure(figsize=(6.5, 1.4 + 0.22 * len(names)), layout='constrained')
    axis = figure.subplots()
    places = range(len(names))
    ends = [[classes[name][key] for name in names] for key in ('AP', 'AP50')]
    axis.hlines(places, *ends, color='0.6', lw=1, zorder=1)
    for key, values, colour, marker in zip(('AP', 'AP50'), ends, COLOURS, MARKERS, strict=False):
        axis.scatter(
            values, places, color=colour, marker=marker, ec='black', lw=0.5, label=key, zorder=2
        )
    axis.set_yticks(places, names)
    axis.set_xlim(-0.02, 1.02)
    axis.set_ylim(-0.7, len(names) - 0.3)
    axis.set_title('by class (annotated tracks in brackets)')
    figure.legend(loc='outside lower center', ncols=2)
    return figure


def plot_lengths(found: dict) -> Figure:
    """AP by the length of videos and of tracks."""
    most = max(len(found[key]) for key in ('by_video_length', 'by_track_length'))
    figure = Figure(figsize=(6.5, 1.2 + 0.5 * most), layout='constrained')
    for axis, key, title in zip(
        figure.subplots(1, 2),
        ('by_video_length', 'by_track_length'),
        ('frames of the video', 'frames that show the object'),
        strict=True,
    ):
        rows = found[key]
        labels = [f'{_range(row)}\n({row["tracks"]} tracks)' for row in rows]
        grouped_bars(axis, labels, {name: [row[name] for row in rows] for name in ('AP50', 'AP')})
        axis.set_xlim(0, 1.15)
        axis.set_title(title)
    figure.legend(*axis.get_legend_handles_labels(), loc='outside lower center', ncols=2)
    return figure


def plot_videos(found: dict, worst: int) -> Figure:
    """What the worst videos cost, and their errors."""
    rows = found['videos'][:worst]
    figure = Figure(figsize=(6.5, 1.2 + 0.3 * len(rows)), layout='constrained')
    axis = figure.subplots()
    axis.barh(
        range(len(rows)),
        [row['loss'] for row in rows],
        color=COLOURS[0],
        hatch=HATCHES[0],
        edgecolor='black',
        linewidth=0.6,
    )
    for place, row in enumerate(rows):
        axis.annotate(
            _main_errors(row),
            (row['loss'], place),
            xytext=(3, 0),
            textcoords='offset points',
            va='center',
            fontsize='x-small',
        )
    axis.set_yticks(range(len(rows)), [_short(row['name']) for row in rows])
    axis.invert_yaxis()
    axis.grid(axis='y', visible=False)
    # Room for the text behind the longest bar.
    axis.set_xlim(0, (rows[0]['loss'] or 1) * 1.7)
    axis.set_title('the worst videos')
    axis.set_xlabel('AP50 gained by mending everything in this video alone')
    return figure


def plot_identities(found: dict) -> Figure:
    """The share of identities that are kept against the frames in which nobody followed them."""
    rows = found['identities']['by_unseen']
    figure = Figure(figsize=(6.5, 3.2), layout='constrained')
    axis = figure.subplots()
    shares = [row['kept'] / row['returns'] for row in rows]
    axis.plot(shares, color=COLOURS[0], marker=MARKERS[0])
    for place, (share, row) in enumerate(zip(shares, rows, strict=True)):
        axis.annotate(
            f'{row["kept"]} of {row["returns"]}',
            (place, share),
            xytext=(0, 5),
            textcoords='offset points',
            ha='center',
            fontsize='x-small',
        )
    axis.set_xticks(range(len(rows)), [_range(row) for row in rows])
    axis.set_ylim(-0.03, 1.1)
    axis.set_title('kept identities')
    axis.set_xlabel('frames in which the object was not followed')
    return figure


def _range(row: dict) -> str:
    if row['high'] is None:
        return f'{row["low"]} and more'
    return f'{row["low"]}' if row['low'] == row['high'] else f'{row["low"]} to {row["high"]}'


def _main_errors(video: dict) -> str:
    """The two most frequent kinds of errors."""
    counts = sorted(video['errors'].items(), key=lambda item: -item[1])
    return ', '.join(f'{count} {kind}' for kind, count in counts[:2] if count)


def _short(name: str) -> str:
    return name if len(name) <= 24 else f'...{name[-21:]}'


def _figure(value: float) -> str:
    return '-' if value < 0 else f'{value:.3f}'


def _print_table(console: Console, first: str, columns: list[str], rows: list[tuple]) -> None:
    table = Table(first, box=None)
    for column in columns:
        table.add_column(column, justify='right')
    for name, *cells in rows:
        cells = [_figure(cell) if isinstance(cell, float) else str(cell) for cell in cells]
        table.add_row(escape(name), *map(escape, cells))
    console.print(table)


def print_tables(found: dict, worst: int) -> None:
    """Print everything but the single errors."""
    console = Console()
    scores = found['scores']
    print(
        f'{scores["num_results"]} results for {scores["num_tracks"]} annotated tracks in '
        f'{scores["num_videos"]} videos'
    )
    print(format_scores(scores) + '\n')
    _print_table(
        console,
        'AP lost to',
        ['AP50', 'AP', 'errors'],
        [(kind, row['AP50'], row['AP'], row['count']) for kind, row in found['losses'].items()],
    )
    split, merged = found['association']['split'], found['association']['merged']
    print(f'of the association errors {split} are split, {merged} merged\n')
    identities = found['identities']
    of_returns = [(_range(row), row) for row in identities['by_unseen']]
    of_returns += list(identities['by_circumstance'].items())
    _print_table(
        console,
        'frames not followed',
        ['kept', 'of', 'share'],
        [
            (name, row['kept'], row['returns'], row['kept'] / row['returns'])
            for name, row in of_returns
            if row['returns']
        ],
    )
    print(f'{identities["takeovers"]} times an identity went over to another object\n')
    _print_table(
        console,
        'class',
        ['AP', 'AP50', 'AP75', 'tracks', 'results'],
        [
            (name, *(row[key] for key in ('AP', 'AP50', 'AP75', 'tracks', 'results')))
            for name, row in scores['per_class'].items()
        ],
    )
    for key, title in (
        ('by_video_length', 'frames of the video'),
        ('by_track_length', 'frames that show the object'),
    ):
        print()
        rows = [(_range(row), row['AP'], row['AP50'], row['tracks']) for row in found[key]]
        _print_table(console, title, ['AP', 'AP50', 'tracks'], rows)
    print()
    _print_table(
        console,
        'worst videos',
        ['id', 'AP50 lost', 'AP50', 'tracks', 'errors'],
        [
            (
                _short(row['name']),
                row['video_id'],
                *(row[key] for key in ('loss', 'AP50', 'tracks')),
                _main_errors(row),
            )
            for row in found['videos'][:worst]
        ],
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('results', help='a result .json, or a submission .zip')
    parser.add_argument('annotations', help='annotation file in the format of YouTube-VIS')
    parser.add_argument('--out', metavar='DIR', help='write plots (.png and .svg) there')
    parser.add_argument(
        '--json', metavar='FILE', help='write all figures, unrounded, and a list of all errors'
    )
    parser.add_argument(
        '--worst', type=int, default=10, metavar='N', help='videos to show (default: %(default)s)'
    )
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.0,
        metavar='X',
        help='results with a lower score do not count for kept identities (default: 0)',
    )
    args = parser.parse_args()
    if args.worst < 1:
        raise InputError(f'--worst {args.worst}: at least 1 video')
    found = analyse_errors(args.results, args.annotations, score_thr=args.score_thr)
    print_tables(found, args.worst)
    if args.out:
        with plot_style():
            for name, figure in (
                ('errors', plot_losses(found)),
                ('classes', plot_classes(found)),
                ('lengths', plot_lengths(found)),
                ('videos', plot_videos(found, args.worst)),
                ('identities', plot_identities(found)),
            ):
                save_figure(figure, Path(args.out) / name)
        print(f'plots written to {args.out}')
    if args.json:
        write_figures(args.json, found)
        print(f'figures written to {args.json}')


if __name__ == '__main__':
    with one_line_errors():
        main()
