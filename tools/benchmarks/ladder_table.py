"""The table of ``tools/benchmarks/ladder.sh``: the figures of each rung, mean and spread."""

import argparse
from pathlib import Path
from statistics import mean, stdev

from mmvis_cl.engine.cli import one_line_errors
from mmvis_cl.errors import InputError
from mmvis_cl.evaluation import evaluate_tracks, load_annotations, load_results

METRICS = ('AP', 'AP50', 'AP75', 'AR10')


def table(out: Path, annotations: dict) -> str:
    """Scores the results of every rung.

    Args:
        out: With ``RUNG/seedN/results.json``.
        annotations: In YouTube-VIS format.

    Returns:
        A table in Markdown; mean and, of several seeds, the standard deviation.

    Raises:
        InputError: There are no results.
    """
    rungs = sorted({path.parents[1].name for path in out.glob('*/seed*/results.json')})
    if not rungs:
        raise InputError(f'{out}: has no RUNG/seedN/results.json; run tools/benchmarks/ladder.sh')
    lines = ['| rung | seeds | ' + ' | '.join(METRICS) + ' |', '| --- ' * (2 + len(METRICS)) + '|']
    for rung in rungs:
        paths = sorted((out / rung).glob('seed*/results.json'))
        scores = [evaluate_tracks(load_results(path), annotations) for path in paths]
        cells = []
        for metric in METRICS:
            values = [score[metric] for score in scores]
            spread = f' ± {stdev(values):.3f}' if len(values) > 1 else ''
            cells.append('-' if min(values) < 0 else f'{mean(values):.3f}{spread}')
        lines.append(f'| {rung} | {len(paths)} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out', type=Path, help='the folder of the ladder')
    parser.add_argument('annotations', type=Path, help='of the validation videos')
    args = parser.parse_args()
    with one_line_errors():
        print(table(args.out, load_annotations(args.annotations)))


if __name__ == '__main__':
    main()
