"""The look of all plots: readable in print, and with every kind of colour vision."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmvis_cl.errors import InputError
from mmvis_cl.files import whole_file

# Okabe and Ito's colours; markers and hatches tell series apart without them. The first is dark
# and plain and the second light and hatched, for a copy in black and white.
COLOURS = ('#0072B2', '#E69F00', '#009E73', '#CC79A7', '#D55E00', '#56B4E9')
MARKERS = ('o', 's', '^', 'D', 'v', 'P')
HATCHES = ('', '////', '....', 'xxxx', '----', '\\\\\\\\')
FORMATS = ('.png', '.pdf', '.svg')

_STYLE = {
    'font.size': 9,
    'axes.titlesize': 'medium',
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.axisbelow': True,
    'axes.grid': True,
    'grid.alpha': 0.3,
    'hatch.linewidth': 0.6,
    'legend.frameon': False,
    'text.parse_math': False,  # a dollar in the name of a class is a dollar
    # The same input gives the same file.
    'svg.hashsalt': 'mmvis_cl',
}


@contextmanager
def plot_style() -> Iterator[None]:
    """Figures made, drawn and saved inside have the look of the project."""
    with matplotlib.rc_context(_STYLE):
        yield


def grouped_bars(axis: Axes, groups: list[str], series: dict[str, list[float]]) -> None:
    """Horizontal bars, the first group on top, with their values behind them.

    Args:
        axis: To draw on.
        groups: n labels.
        series: For each name n values, >= 0. Negative ones stand for "nothing there": '-'.
    """
    thickness = 0.8 / len(series)
    highest = max((value for values in series.values() for value in values), default=0)
    for index, (name, values) in enumerate(series.items()):
        offset = (index - (len(series) - 1) / 2) * thickness
        places = [group + offset for group in range(len(groups))]
        axis.barh(
            places,
            [max(value, 0) for value in values],
            thickness,
            label=name,
            color=COLOURS[index],
            hatch=HATCHES[index],
            edgecolor='black',
            linewidth=0.6,
        )
        for place, value in zip(places, values, strict=True):
            axis.annotate(
                '-' if value < 0 else f'{value:.3f}',
                (max(value, 0), place),
                xytext=(3, 0),
                textcoords='offset points',
                va='center',
                fontsize='x-small',
            )
    axis.set_yticks(range(len(groups)), groups)
    axis.invert_yaxis()
    axis.grid(axis='y', visible=False)
    # Room for the values.
    axis.set_xlim(0, (highest or 1) * 1.15)


def save_figure(figure: Figure, path: str | os.PathLike) -> list[Path]:
    """Write a figure, with the folder for it.

    Args:
        figure: Made inside of :func:`plot_style`, and saved there too.
        path: Ends in one of ``FORMATS``; without a suffix, a PNG and an SVG are written.

    Returns:
        The files.

    Raises:
        InputError: If the suffix is another, or a file cannot be written.
    """
    path = Path(path)
    if path.suffix and path.suffix.lower() not in FORMATS:
        raise InputError(
            f'{path}: a plot is written to a name that ends in {", ".join(FORMATS)}, or without a '
            'suffix to .png and .svg'
        )
    paths = [path] if path.suffix else [path.with_suffix(suffix) for suffix in ('.png', '.svg')]
    for path in paths:
        # No date in the file, so that the same input gives the same file.
        metadata = {'.svg': {'Date': None}, '.pdf': {'CreationDate': None}}
        kind = path.suffix.lower()
        with whole_file(path, 'wb') as file:
            figure.savefig(file, dpi=200, format=kind[1:], metadata=metadata.get(kind))
    return paths
