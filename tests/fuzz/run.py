"""Gives broken files to every reader: ``python tests/fuzz/run.py --inputs 100000``.

An input is a target, a seed and a number; the same three make the same files. A reader may end
well or by an InputError. Anything else is a failure: another exception, more than SECONDS, a
process that dies. Each process writes down what it is about to do, so that one that dies can be
told.
``--input 'TARGET:SEED:NUMBER'`` repeats one and shows its traceback.
"""

import argparse
import json
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from mutate import broken
from targets import TARGETS

from mmvis_cl.errors import InputError

SECONDS = 30
MEMORY = 12 << 30
CHUNK = 2000  # inputs of a process
SCRATCH = '/dev/shm' if Path('/dev/shm').is_dir() else None


class HangError(BaseException):
    """A reader took too long; no `except Exception` of its own may take it for another error."""


def _hangs(*_) -> None:
    raise HangError


def target_of(seed: int, number: int) -> str:
    """Which target an input is for."""
    names = [name for name, target in TARGETS.items() for _ in range(target.share)]
    return random.Random(f'{seed}:{number}').choice(names)


def try_input(name: str, seed: int, number: int | None) -> str:
    """Give a reader broken files.

    Args:
        name: Of the target.
        seed: Of the run.
        number: Of the input; with None nothing is broken.

    Returns:
        'ok', 'refused', or the traceback of what should not be.
    """
    rng = random.Random(f'{name}:{seed}:{number}')
    target = TARGETS[name]
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        files = target.files()
        breaks = None if number is None else rng.choice(sorted(files))
        for path, data in files.items():
            where = Path(folder, path)
            where.parent.mkdir(parents=True, exist_ok=True)
            where.write_bytes(broken(path, data, rng) if path == breaks else data)
        before = signal.signal(signal.SIGALRM, _hangs)
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            target.run(Path(folder))
            return 'ok'
        except InputError as error:
            return 'refused' if '\n' not in str(error) else f'more than a line: {error}'
        except (Exception, HangError, SystemExit):
            return traceback.format_exc()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def work(seed: int, first: int, last: int, notes: Path) -> None:
    """Try inputs, each written down before and after."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with notes.open('a') as file:
        for number in range(first, last):
            name = target_of(seed, number)
            print(json.dumps([number, name]), file=file, flush=True)
            print(json.dumps([number, name, try_input(name, seed, number)]), file=file, flush=True)


def results_of(notes: Path) -> dict[int, tuple[str, str | None]]:
    """Of each input, its target and what became of it; None for one that was not ended."""
    found = {}
    for path in notes.glob('*.jsonl'):
        for line in path.read_text().splitlines():
            try:
                number, name, *rest = json.loads(line)
            except ValueError:  # half a line, of a process that was killed while it wrote
                continue
            found[number] = name, (rest[0] if rest else None)
    return found


def run_all(seed: int, inputs: int, jobs: int, notes: Path) -> None:
    """Try all inputs that are not written down yet, in processes that may die."""
    done = results_of(notes).keys()
    chunks = [
        (first, last)
        for start in range(0, inputs, CHUNK)
        for first, last in [(start, min(start + CHUNK, inputs))]
        if any(number not in done for number in range(first, last))
    ]
    running: list[tuple[subprocess.Popen, int, int]] = []
    while chunks or running:
        while chunks and len(running) < jobs:
            first, last = chunks.pop(0)
            while first in done and first < last:
                first += 1
            command = [sys.executable, __file__, '--seed', str(seed), '--notes', str(notes)]
            command += ['--range', str(first), str(last)]
            with (notes / 'stderr.txt').open('a') as said:
                process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
            running.append((process, first, last))
        time.sleep(0.2)
        for entry in list(running):
            process, first, last = entry
            if process.poll() is None:
                continue
            running.remove(entry)
            done = results_of(notes)
            begun = [number for number in range(first, last) if number in done]
            after = max(begun, default=first - 1) + 1
            if process.returncode and after == first:  # every other one would end like this
                for other, *_ in running:
                    other.terminate()
                sys.exit(
                    f'a process ended with {process.returncode} before its first input; what it '
                    f'said is in {notes}/stderr.txt'
                )
            if process.returncode and after < last:
                chunks.insert(0, (after, last))  # what killed it is written down as not ended


def report(notes: Path) -> int:
    """Print a table; gives the number of failures."""
    results = results_of(notes)
    counts: dict[str, Counter] = {name: Counter() for name in TARGETS}
    failures = []
    for number, (name, outcome) in sorted(results.items()):
        kind = outcome if outcome in ('ok', 'refused') else 'died' if outcome is None else 'failed'
        counts[name][kind] += 1
        if kind in ('died', 'failed'):
            last = (outcome or 'the process died').strip().splitlines()[-1]
            failures.append(f'{name}:{number}: {last[:150]}')
    print(f'{"target":20}{"inputs":>9}{"ok":>9}{"refused":>9}{"failed":>9}{"died":>9}')
    for name, count in [*counts.items(), ('all', sum(counts.values(), Counter()))]:
        row = ''.join(f'{count[kind]:9}' for kind in ('ok', 'refused', 'failed', 'died'))
        print(f'{name:20}{count.total():9}{row}')
    print('\n'.join(failures[:50]))
    return len(failures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--inputs', type=int, default=100000)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--jobs', type=int, default=2)
    parser.add_argument('--notes', type=Path, help='goes on there (default: a new folder)')
    parser.add_argument('--input', metavar='TARGET:SEED:NUMBER', help='repeat this one')
    parser.add_argument('--range', type=int, nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.input:
        name, seed, number = args.input.rsplit(':', 2)
        print(try_input(name, int(seed), int(number)))
        return
    if args.range:
        number = args.range[0]
        work(args.seed, *args.range, args.notes / f'{number}.jsonl')
        return
    notes = args.notes or Path(tempfile.mkdtemp(prefix='mmvis_cl-fuzz-'))
    notes.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    run_all(args.seed, args.inputs, args.jobs, notes)
    failures = report(notes)
    print(f'{time.monotonic() - start:.0f} s; the notes are in {notes}')
    if not failures and args.notes is None:
        shutil.rmtree(notes)
    sys.exit(bool(failures))


if __name__ == '__main__':
    main()
