"""Time and memory of reading a large annotation file or large results, with all that is checked.

``python tools/benchmarks/reading.py`` writes made-up annotations and results of 400 MB into a
temporary folder and reads each in processes of their own: by ours, and by Python's ``json`` alone,
which checks nothing. Best of ``--repeat`` runs; peak memory of the process, with and without what
imports take.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pycocotools.mask as mask_utils
from timing import header, machine, row

from mmvis_cl.engine.cli import one_line_errors
from mmvis_cl.errors import InputError
from mmvis_cl.files import whole_file

HEIGHT, WIDTH, FRAMES = 720, 1280, 36
READERS = {
    'json alone': 'import json; json.load(open(path, "rb"))',
    'annotations, ours': (
        'from mmvis_cl.evaluation import load_annotations; load_annotations(path)'
    ),
    'results, ours': ('from mmvis_cl.evaluation import load_results; load_results(path)'),
}
MEASURE = """
import sys, time
path = sys.argv[1]
import mmvis_cl.evaluation
from timing import peak_memory
before, start = peak_memory(), time.perf_counter()
{read}
print(time.perf_counter() - start, peak_memory(), before)
"""


def write_files(folder: Path, megabytes: float) -> dict[str, Path]:
    """Annotations and results of about this size, by kind."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]  # a disk: some hundred columns, as a person has
    mask = (x - 600) ** 2 + (y - 350) ** 2 < 90**2
    rle = mask_utils.encode(np.asfortranarray(mask, np.uint8))
    rle = dict(size=rle['size'], counts=rle['counts'].decode())
    seen = [None, *[rle] * (FRAMES - 2), None]
    track = dict(category_id=1, segmentations=seen)
    of_truth = dict(
        iscrowd=0,
        width=WIDTH,
        height=HEIGHT,
        length=FRAMES,
        bboxes=[mask and [10.5, 20.25, 300.0, 200.0] for mask in seen],
        areas=[mask and 31234 for mask in seen],
    )
    files = {}
    for kind, more in (('annotations', of_truth), ('results', dict(score=0.5))):
        number = max(1, round(megabytes * 1e6 / len(json.dumps(track | more))))
        tracks = [
            dict(track, **more, video_id=1 + i // 4, **(dict(id=i + 1) if 'areas' in more else {}))
            for i in range(number)
        ]
        content = tracks
        if kind == 'annotations':
            names = [f'{frame:05d}.jpg' for frame in range(FRAMES)]
            video = dict(width=WIDTH, height=HEIGHT, length=FRAMES, file_names=names)
            content = dict(
                videos=[dict(video, id=1 + i) for i in range(1 + (number - 1) // 4)],
                categories=[dict(id=1, name='person')],
                annotations=tracks,
            )
        files[kind] = folder / f'{kind}.json'
        with whole_file(files[kind]) as file:
            file.write(json.dumps(content))
    return files


def measure(reader: str, path: Path) -> tuple[float, float, float]:
    """Seconds, peak MiB, and the MiB of the imports, in a process of its own."""
    code = MEASURE.format(read=READERS[reader])
    done = subprocess.run(
        [sys.executable, '-c', code, str(path)],
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    seconds, peak, before = map(float, done.stdout.split())
    return seconds, peak, before


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--megabytes', type=float, default=400, help='default: %(default)s')
    parser.add_argument('--repeat', type=int, default=3, help='default: %(default)s')
    args = parser.parse_args(argv)
    with one_line_errors():
        if not args.megabytes > 0 or args.repeat < 1:
            raise InputError('--megabytes above 0 and --repeat of at least 1 are needed')
        print(f'Machine: {machine()}\n')
        print(header('', 'MB', 's', 'ratio to json', 'peak MiB', 'without imports'))
        with tempfile.TemporaryDirectory() as folder:
            for kind, path in write_files(Path(folder), args.megabytes).items():
                compare(kind, path, args.repeat)


def compare(kind: str, path: Path, repeat: int) -> None:
    """Two rows: ``json`` alone, and ours."""
    alone = None
    for reader in ('json alone', f'{kind}, ours'):
        runs = [measure(reader, path) for _ in range(repeat)]
        seconds, peak, before = (min(values) for values in zip(*runs, strict=True))
        alone = alone or seconds
        name = reader if 'ours' in reader else f'{kind}, {reader}'
        figures = f'{seconds:.2f}', f'{seconds / alone:.2f}', f'{peak:.0f}', f'{peak - before:.0f}'
        print(row(name, f'{path.stat().st_size / 1e6:.0f}', *figures), flush=True)


if __name__ == '__main__':
    main()
