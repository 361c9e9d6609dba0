"""Check a downloaded data set in the format of YouTube-VIS: is everything there, and whole?

Exit code 0: nothing is wrong. 1: something is missing or broken. 2: there is nothing to check.
"""

import argparse
import json
import os
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from mmvis_cl.datasets.converters.check_files import SPLITS, SplitFiles, check_split, find_splits
from mmvis_cl.errors import InputError, one_line_errors
from mmvis_cl.files import check_folder, whole_file


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'path',
        metavar='TREE',
        help='folder of YouTube-VIS 2019, 2021 or 2022 or of OVIS, as it comes; or an annotation '
        'file, with --images',
    )
    parser.add_argument('--images', metavar='DIR', help="where the file's image paths start from")
    parser.add_argument(
        '--fast',
        action='store_true',
        help='do not decode the images: look for them, and read their sizes from their headers',
    )
    parser.add_argument(
        '--workers',
        type=int,
        default=min(8, os.cpu_count()),
        help='processes that look at the images (default: %(default)s)',
    )
    parser.add_argument(
        '--absolute-paths',
        action='store_true',
        help='take images that the file names by absolute paths',
    )
    parser.add_argument('--json', metavar='OUT', help='write counts and all problems to this file')
    parser.add_argument(
        '--max-lines', type=int, default=20, help='most problems to print a kind (default: 20)'
    )
    return parser.parse_args()


def files_to_check(path: str, images: str | None) -> list[SplitFiles]:
    """The splits of a folder, or the one annotation file."""
    if images is None and not os.path.isfile(path):
        return find_splits(path)
    if images is None:
        raise InputError(f'{path}: give the folder of its images too, with --images DIR')
    if not os.path.isfile(path):
        raise InputError(f'{path}: there is no such annotation file')
    if not os.path.isdir(images):
        raise InputError(f'--images {images}: there is no such folder')
    return [SplitFiles('annotations', Path(path), Path(images))]


def main() -> None:
    args = parse_args()
    reports = []
    with one_line_errors():
        if args.workers < 0:
            raise InputError(f'--workers {args.workers}: give 0 (none) or more')
        if args.json and not os.path.exists(args.json):
            check_folder(Path(args.json).absolute().parent)
        for files in files_to_check(args.path, args.images):
            reports.append(
                check_split(
                    files,
                    decode=not args.fast,
                    workers=args.workers,
                    absolute_paths=args.absolute_paths,
                    progress=lambda items, total, name=files.name: track(
                        items, f'{name}: images', total, console=Console(stderr=True)
                    ),
                )
            )

    columns = ('videos', 'frames', 'tracks', 'masks')
    table = Table('split', *columns, 'problems', box=None)
    table.add_column('annotation file', overflow='fold')
    for report in reports:
        counts = [str(getattr(report, column)) for column in columns]
        problems = str(len(report.problems))
        table.add_row(report.files.name, *counts, problems, escape(str(report.files.ann_file)))
    Console().print(table)
    absent = [split for split in SPLITS if split not in {report.files.name for report in reports}]
    if absent and args.images is None:
        print(f'no annotation file, so not checked: {", ".join(absent)}')
    for report in reports:
        for other in report.files.others:
            print(f'{other}: another annotation file of the split, not checked')
        printed = Counter()
        for kind, message in report.problems:
            printed[kind] += 1
            if printed[kind] <= args.max_lines:
                print(f'{report.files.name}: {message}')
        for kind, number in printed.items():
            if number > args.max_lines:
                print(
                    f'{report.files.name}: {number - args.max_lines} more of the kind {kind!r}'
                    f'{"" if args.json else ": see all with --json OUT"}'
                )
    if args.json:
        content = {
            report.files.name: asdict(report)
            | dict(
                files=dict(
                    ann_file=str(report.files.ann_file),
                    image_folder=str(report.files.image_folder),
                ),
                problems=[dict(kind=kind, message=text) for kind, text in report.problems],
            )
            for report in reports
        }
        with one_line_errors(), whole_file(args.json) as file:
            file.write(json.dumps(content, indent=2) + '\n')
        print(f'written to {args.json}')
    problems = sum(len(report.problems) for report in reports)
    print(f'{problems} problems' if problems else 'nothing is wrong')
    sys.exit(1 if problems else 0)


if __name__ == '__main__':
    main()
