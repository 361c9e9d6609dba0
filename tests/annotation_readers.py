"""Every command and class that reads annotations or results, to be run on files of any content.

A new reader is one line of READERS; tests of broken files and the fuzzing go through all of them.
"""

import contextlib
import io
import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
from PIL import Image
from pycocotools import mask as mask_utils

from mmvis_cl.cli.command_line import main
from mmvis_cl.errors import InputError

TOOLS = Path(__file__).parents[1] / 'tools'
HEIGHT, WIDTH, LENGTH = 24, 32, 3


class Outcome(NamedTuple):
    """What a reader did with files.

    Attributes:
        code (int): 0; 1 of check_vis for a file with problems; 2 for bad input.
        lines (list[str]): of stderr.
        out (str): stdout.
    """

    code: int
    lines: list
    out: str


def square(top: int, left: int) -> dict:
    """RLE of 8 x 8 pixels."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order='F')
    mask[top : top + 8, left : left + 8] = 1
    return dict(size=[HEIGHT, WIDTH], counts=mask_utils.encode(mask)['counts'].decode())


def make_annotations() -> dict:
    """Two videos with a track each, of which the first has all keys there are."""
    tracks = [
        [square(2, 2), square(3, 4), None],
        [square(10, 12), None, square(11, 12)],
    ]
    return dict(
        info=dict(description='made up'),
        videos=[
            dict(
                id=i + 1,
                width=WIDTH,
                height=HEIGHT,
                length=LENGTH,
                file_names=[f'clip_{i}/{t:05d}.png' for t in range(LENGTH)],
            )
            for i in range(2)
        ],
        categories=[dict(id=1, name='cat'), dict(id=2, name='dog')],
        annotations=[
            dict(
                id=i + 1,
                video_id=i + 1,
                category_id=i + 1,
                iscrowd=0,
                segmentations=masks,
                bboxes=[mask and mask_utils.toBbox(mask).tolist() for mask in masks],
                areas=[mask and 64 for mask in masks],
            )
            for i, masks in enumerate(tracks)
        ],
    )


def make_results() -> list[dict]:
    """The annotated tracks, found."""
    return [
        dict(
            video_id=track['video_id'],
            category_id=track['category_id'],
            score=0.9,
            segmentations=track['segmentations'],
        )
        for track in make_annotations()['annotations']
    ]


def write_images(folder: Path) -> None:
    """The frames of the videos."""
    for video in make_annotations()['videos']:
        for name in video['file_names']:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new('RGB', (WIDTH, HEIGHT), (90, 120, 60)).save(folder / name)


def _command(*words: str) -> Callable[[dict], None]:
    """A command of ``mmvis-cl``; words in braces are filled in."""
    return lambda at: main([word.format(**at) for word in words])


def _tool(path: str, *words: str) -> Callable[[dict], None]:
    """A script of tools/."""

    def run(at: dict) -> None:
        argv = [path, *(word.format(**at) for word in words)]
        with patch.object(sys, 'argv', argv):
            runpy.run_path(str(TOOLS / path), run_name='__main__')

    return run


def _dataset(**options: object) -> Callable[[dict], None]:
    def run(at: dict) -> None:
        from mmvis_cl.datasets import VISDataset

        options.update(data_prefix=dict(img_path=at['images']), serialize_data=False)
        dataset = VISDataset(at['annotations'], pipeline=[], **options)
        for i in range(len(dataset)):
            dataset.get_data_info(i)

    return run


def _metric(name: str) -> Callable[[dict], None]:
    def run(at: dict) -> None:
        from mmvis_cl import evaluation

        getattr(evaluation, name)(ann_file=at['annotations'])

    return run


# What is run, by its name. {annotations}, {results}, {images} and {out} (a folder) are paths.
READERS = {
    'eval': _command('eval', '{results}', '{annotations}', '--json', '{out}/eval.json'),
    'merge': _command('merge', '{out}/m.json', '{results}', '--annotations', '{annotations}'),
    'merge --eval': _command(
        'merge', '{out}/e.zip', '{results}', '--annotations', '{annotations}', '--eval'
    ),
    'errors': _tool(
        'analysis_tools/errors.py', '{results}', '{annotations}', '--json', '{out}/errors.json'
    ),
    'compare': _tool(
        'visualization/compare.py',
        *('{annotations}', '{images}', '{out}/videos', '--results', 'a={results}'),
        *('--panel-width', '160'),
    ),
    'shuffle': _tool('analysis_tools/shuffle_identities.py', '{results}', '{out}/shuffled.json'),
    'check_vis': _tool(
        'dataset_converters/check_vis.py',
        *('{annotations}', '--images', '{images}', '--workers', '0', '--json', '{out}/check.json'),
    ),
    'split_vis': _tool(
        'dataset_converters/split_vis.py',
        *('{annotations}', '{out}/train.json', '{out}/valid.json', '--valid-share', '0.5'),
    ),
    'vis_to_coco': _tool(
        'dataset_converters/vis_to_coco.py', '{annotations}', '{out}/coco.json', '--every', '2'
    ),
    'VISDataset': _dataset(),
    'VISDataset, test': _dataset(test_mode=True),
    'VISMetric': _metric('VISMetric'),
    'BoxTrackMetric': _metric('BoxTrackMetric'),
}
OF_RESULTS = ('eval', 'merge', 'merge --eval', 'errors', 'compare', 'shuffle')
OF_ANNOTATIONS = tuple(name for name in READERS if name != 'shuffle')


def read(name: str, at: dict) -> Outcome:
    """Run a reader on files.

    Args:
        name: Of READERS.
        at: Paths: ``annotations``, ``results``, ``images`` and ``out``.

    Returns:
        What it did. Any exception but those that are meant for bad input comes through.
    """
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            READERS[name](at)
        except SystemExit as stop:
            code = stop.code
        except InputError as error:  # a class has nobody who prints it
            code = 2
            print(f'error: {error}', file=err)
    return Outcome(code or 0, err.getvalue().splitlines(), out.getvalue())


def complaint(name: str, at: dict) -> str:
    """What a reader says of bad files: one line, or '' if it could use them.

    Args:
        name: Of READERS.
        at: See ``read``.

    Raises:
        AssertionError: It says more or less than a line, or the line is no good.
    """
    outcome = read(name, at)
    if outcome.code == 1 and name == 'check_vis':
        found = json.loads(Path(at['out'], 'check.json').read_text())['annotations']['problems']
        lines = [problem['message'] for problem in found]
        assert lines and all('\n' not in line for line in lines)
        return lines[0]
    assert outcome.code in (0, 2), outcome
    lines = [line for line in outcome.lines if line.startswith('error: ')]
    assert len(lines) == (outcome.code == 2), outcome
    if not lines:
        return ''
    # Where it is, what it is, and how to mend it; and not more than a line can hold.
    (line,) = lines
    assert outcome.lines[-1] == line, outcome.lines
    assert line.isprintable() and len(line) < 600, line
    return line.removeprefix('error: ')
