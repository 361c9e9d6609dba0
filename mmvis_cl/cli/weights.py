"""List the published weights that have a name, or fetch some.

mmvis-cl weights                       what is known, and what is on this disk
mmvis-cl weights idol-r50-ytvis21      fetch it, and print where it is
mmvis-cl weights --verify              compare what is here with its hashes

A name stands wherever a checkpoint can: mmvis-cl track VIDEO --weights idol-r50-ytvis21
"""

import argparse
import json
import os
from typing import Any

from mmvis_cl.errors import InputError
from mmvis_cl.weights import KNOWN, KnownWeights, weights_file, weights_folder
from mmvis_cl.weights.cache import read_notes, sha256_of
from mmvis_cl.weights.door import check_name, place_of

NEEDS_TORCH = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        'names', nargs='*', metavar='NAME', help='fetch it, or an address, if it is not here yet'
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument('--json', action='store_true', help='list as JSON')
    what.add_argument(
        '--verify',
        action='store_true',
        help='compare the files that are here (of NAMEs, else all) with what is known of them, or '
        'was written down when they were fetched; exit code 1 if one is another',
    )


def check_arguments(args: argparse.Namespace) -> None:
    """Names that are none."""
    for name in args.names:
        check_name(name)
        if args.verify and name not in KNOWN:
            raise InputError(f'{name}: --verify takes names; mmvis-cl weights lists them')


def run(args: argparse.Namespace) -> int:
    """List, fetch or verify.

    Raises:
        InputError: Weights cannot be fetched.
    """
    if args.verify:
        return _verify([KNOWN[name] for name in args.names] or list(KNOWN.values()))
    if args.names:
        for name in args.names:
            print(weights_file(name))
        return 0
    rows = [_row(weights) for weights in KNOWN.values()]
    if args.json:
        print(json.dumps(rows, indent=2))
    else:
        _print_table(rows)
    return 0


def _row(weights: KnownWeights) -> dict[str, Any]:
    file = place_of(weights)
    here = os.path.isfile(file)
    row = weights._asdict()
    row['ap_is'] = None if weights.ap is None else 'published'
    row['file'] = str(file) if here else None
    if here:
        row['size'] = file.stat().st_size
        row['sha256'] = weights.sha256 or read_notes(file).get('sha256')
    return row


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table('name', 'data', 'AP', 'size', 'licence', 'config', 'here', box=None)
    for row in rows:
        table.add_row(
            row['name'],
            row['data'],
            '' if row['ap'] is None else f'{row["ap"]:.1f}',
            '?' if row['size'] is None else f'{row["size"] / 1e6:.0f} MB',
            row['licence'] or '?',
            row['config'] or 'to start a training',
            'yes' if row['file'] else 'no' if row['source'] else 'no (by hand)',
        )
    console = Console()
    if not console.is_terminal:
        console = Console(width=140)
    console.print(table)
    print(
        f'AP as published, on the validation set of the data; ?: nobody says. Files: '
        f'{weights_folder()}'
    )


def _verify(chosen: list[KnownWeights]) -> int:
    wrong = 0
    for weights in chosen:
        file = place_of(weights)
        if not os.path.isfile(file):
            continue
        expected = weights.sha256 or read_notes(file).get('sha256')
        found = sha256_of(file)
        verdict = 'as it was'
        if expected is None:
            verdict = f'no hash is known; it has {found}'
        elif found != expected:
            verdict, wrong = f'another file; remove {file}, and it is fetched again', wrong + 1
        print(f'{weights.name}: {verdict}')
    return 1 if wrong else 0
