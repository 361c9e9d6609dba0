"""Draw the losses and the scores of a training, over its iterations, from the log in its work dir.

A training that was resumed has a log for each of its runs; they are joined.
"""

import argparse
import json
import math
from pathlib import Path

import matplotlib

matplotlib.use('Agg')

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from mmvis_cl.errors import InputError, quoted, shortened
from mmvis_cl.json_file import read_bytes
from mmvis_cl.visualization.plots import COLOURS, MARKERS, plot_style, save_figure

SCORES = ('youtube_vis/AP', 'youtube_vis/AP50', 'youtube_vis/AP75', 'youtube_vis/AR10')


def read_log(work_dir: str | Path) -> tuple[list[dict], list[dict]]:
    """The newest training in a work dir.

    Args:
        work_dir: Folder with ``TIMESTAMP/vis_data/scalars.json`` of mmengine, one for each run.

    Returns:
        The records of training and those of validation, each with its ``step`` in iterations.

    Raises:
        InputError: If there is no log of a training.
    """
    training, validation = [], []
    for path in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        records = _read_records(path)
        new_training = [record for record in records if 'loss' in record]
        if not new_training:
            continue
        # Validation of a training by epochs is logged by epoch.
        ends = {record['epoch']: record['step'] for record in new_training if 'epoch' in record}
        new_validation = [
            record | dict(step=ends.get(record['step'], record['step']))
            for record in records
            if 'loss' not in record and 'step' in record
        ]
        first = new_training[0]['step']
        interval = new_training[1]['step'] - first if len(new_training) > 1 else first
        # A run that starts from nothing is another training; a resumed one goes on where it was
        # resumed, which may be before the end of the run before.
        keep = 0 if first <= interval else first - interval
        training = [record for record in training if record['step'] <= keep] + new_training
        validation = [record for record in validation if record['step'] <= keep] + new_validation
    if not training:
        raise InputError(
            f'{work_dir}: no training log (TIMESTAMP/vis_data/scalars.json with losses) there; '
            'give the work dir of tools/train.py'
        )
    return training, validation


def plot(
    training: list[dict], validation: list[dict], out: str | Path, keys: list[str] | None = None
) -> None:
    """Draw one panel for the scores, if there are any, and one for each loss.

    Args:
        training: Records of training, see ``read_log``.
        validation: Records of validation.
        out: The picture to write; its suffix says the format (.png, .pdf, .svg). Without one, a
            PNG and an SVG.
        keys: Names to draw in place of the usual ones, each in a panel of its own.

    Raises:
        InputError: If a key is in no record, or the picture cannot be written.
    """
    with plot_style():
        figure = _drawn(training, validation, keys)
        save_figure(figure, out)
        plt.close(figure)


def _drawn(training: list[dict], validation: list[dict], keys: list[str] | None) -> plt.Figure:
    if keys:
        panels = [[key] for key in keys]
    else:
        # Losses of earlier decoder layers (d0.loss_cls, ...) look alike: only by --keys.
        losses = sorted({key for record in training for key in record if key.startswith('loss_')})
        # those of YouTube-VIS, or else what the metrics of the config give
        scored = list(dict.fromkeys(key for record in validation for key in record if '/' in key))
        scores = [key for key in SCORES if key in scored] or scored[: len(COLOURS)]
        panels = ([scores] if scores else []) + [[key] for key in ['loss', *losses]]
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(4.2 * columns, 3 * rows), squeeze=False, layout='constrained'
    )
    for axis, names in zip(axes.flat, panels, strict=False):
        highest = 0.0
        for name, colour, marker in zip(names, COLOURS, MARKERS, strict=False):
            records = [record for record in training + validation if name in record]
            if not records:
                known = sorted({key for record in training + validation for key in record})
                raise InputError(f'no {name!r} in the log, which has {", ".join(known)}')
            steps = np.array([record['step'] for record in records])
            values = _values(records, name)
            if any(name in record for record in validation):
                highest = max(highest, *values)
                shown = values >= 0  # -1 where nothing is annotated
                label = name.rpartition('/')[2]
                axis.plot(
                    steps[shown], values[shown], color=colour, marker=marker, ms=4, label=label
                )
            else:
                steps, values = steps[np.isfinite(values)], values[np.isfinite(values)]
                axis.plot(steps, values, color=colour, alpha=0.25, lw=0.8)
                axis.plot(steps, _smoothed(values), color=colour, lw=1.6)
                _fit_axis(axis, values)
        if len(names) > 1:
            axis.legend(fontsize='small')
            axis.set_ylim(0, min(1.0, 1.15 * highest) if 0 < highest <= 1 else None)
        axis.set_title(names[0] if len(names) == 1 else 'validation', fontsize='medium')
        axis.set_xlabel('iteration', fontsize='small')
        axis.set_xlim(left=0)
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    return figure


def _read_records(path: Path) -> list[dict]:
    records = []
    lines = read_bytes(path).decode(errors='replace').splitlines()
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            # The last line of a run that was cut off may be half a line.
            if number < len(lines):
                raise InputError(f'{path}, line {number}: not JSON; is it a log?') from None
            continue
        if not isinstance(record, dict):
            raise InputError(f'{path}, line {number}: not a record of a log; is it a log?')
        for key in {'step', 'epoch'} & record.keys():
            if not _is_number(record[key]) or not 0 <= record[key] < 2**53:
                raise InputError(
                    f'{path}, line {number}: {key} is {quoted(record[key])}, not a number from 0; '
                    'is it a log?'
                )
        if 'loss' in record and 'step' not in record:
            raise InputError(f'{path}, line {number}: has a loss and no step; is it a log?')
        records.append(record)
    return records


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _values(records: list[dict], name: str) -> np.ndarray:
    for record in records:
        if not _is_number(record[name]) or 1e300 < abs(record[name]) < math.inf:
            raise InputError(
                f'{shortened(name, 80)} of step {record["step"]} in the log is '
                f'{quoted(record[name])}, not a number that can be drawn; is it a log?'
            )
    return np.array([record[name] for record in records], dtype=float)


def _fit_axis(axis: Axes, values: np.ndarray) -> None:
    """Let no few outliers, as those of the first iterations, squeeze all the rest of a curve.

    What is far outside of the middle half of the values is left out of the axis, and said.
    """
    if len(values) < 8:
        return
    lower, upper = np.quantile(values, [0.25, 0.75])
    reach = 3 * (upper - lower)
    inside = values[(values >= lower - reach) & (values <= upper + reach)]
    if reach == 0 or len(inside) == len(values):
        return
    low, high = inside.min(), inside.max()
    margin = 0.05 * (high - low)
    axis.set_ylim(low - margin, high + margin)
    outside = values[(values < low) | (values > high)]
    furthest = outside[np.abs(outside - np.median(values)).argmax()]
    axis.annotate(
        f'{len(outside)} of {len(values)} outside, to {furthest:.3g}',
        (0.98, 0.98),
        xycoords='axes fraction',
        ha='right',
        va='top',
        fontsize='x-small',
    )


def _smoothed(values: np.ndarray) -> np.ndarray:
    """Mean over a window of about a tenth of the curve, as much of it as there is at the ends."""
    reach = len(values) // 20
    sums = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    first, last = np.maximum(index - reach, 0), np.minimum(index + reach + 1, len(values))
    return (sums[last] - sums[first]) / (last - first)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('work_dir', help='the work dir of a training')
    parser.add_argument(
        '--out',
        default='curves.png',
        help='picture to write (.png, .pdf, .svg; without a suffix .png and .svg)',
    )
    parser.add_argument('--keys', nargs='+', help='what to draw in place of losses and scores')
    args = parser.parse_args()
    try:
        training, validation = read_log(args.work_dir)
        plot(training, validation, args.out, args.keys)
    except InputError as error:
        parser.exit(2, f'error: {error}\n')
    scored = f'{len(validation)} validations' if validation else 'no validation'
    print(f'{args.out}: {training[-1]["step"]} iterations, {scored}')


if __name__ == '__main__':
    main()
