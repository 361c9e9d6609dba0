"""Time of the evaluation against mmdet's, and of merging against pairs one by one.

``python tools/benchmarks/evaluation.py`` makes a validation set of YouTube-VIS' size in memory (421
videos of 30 frames at 720p, 40 classes, 40 results a video), scores it both ways and prints tables
in Markdown: CPU and wall seconds, their ratio, and the largest difference of any figure.
"""

import argparse
import contextlib
import copy
import gc
import io
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from mmdet.evaluation.functional import YTVIS, YTVISeval
from pycocotools import mask as mask_utils

from mmvis_cl.engine.cli import one_line_errors
from mmvis_cl.errors import InputError
from mmvis_cl.evaluation import evaluate_tracks, merge_tracks, track_ap
from mmvis_cl.evaluation.track_matching import shown
from mmvis_cl.structures import encode_masks

HEIGHT, WIDTH, FRAMES, CLASSES = 720, 1280, 30, 40
CLASSES_A_MASK = 4


def make_video(
    seed: int, predictions: int = 40, classes_a_mask: int = CLASSES_A_MASK, runs: int = 1
) -> tuple[list, list[list]]:
    """The annotated tracks of a video and what ``runs`` models find in it.

    Of 1 to 4 objects each is found once with some error and half of the time once more for half of
    the video; the other identities are elsewhere. 6 classes come into question in a video.

    Args:
        seed: Decides everything. Ids of videos are ``seed + 1``.
        predictions: Tracks of each run.
        classes_a_mask: An identity gives so many of them, of different classes with the same masks.
        runs: How many; they find the same objects with other errors.

    Returns:
        Annotations, and for each run its results, in the format of YouTube-VIS.
    """
    rng = np.random.default_rng(seed)
    classes = rng.permutation(CLASSES)[:6] + 1
    objects = [_random_shape(rng) for _ in range(rng.integers(1, 5))]
    truth = []
    for shape in objects:
        # Half of the objects come later or leave earlier.
        first, last = rng.integers(1, FRAMES // 2, 2) * (rng.random(2) < 0.3)
        rles = _encoded(shape, first, FRAMES - last)
        areas = [rle and int(mask_utils.area(rle)) for rle in rles]
        about = dict(video_id=seed + 1, category_id=int(rng.choice(classes)))
        truth.append(
            about | dict(segmentations=rles, areas=areas, iscrowd=int(rng.random() < 0.02))
        )
    found = [[] for _ in range(runs)]
    for tracks in found:
        while len(tracks) < predictions:
            index, again = len(tracks) // classes_a_mask, rng.random()
            first, last = 0, FRAMES
            guessed, certainty = rng.permutation(classes).tolist(), rng.uniform(0.1, 0.6)
            if index < len(objects) or (index < 2 * len(objects) and again < 0.5):
                shape = _with_error(rng, objects[index % len(objects)])
                certainty = rng.uniform(0.3, 1)
                # Most know the class: it comes first, with the highest score.
                if rng.random() < 0.8:
                    guessed.sort(key=lambda c: c != truth[index % len(objects)]['category_id'])
                if index >= len(objects):
                    first, last = 0, FRAMES // 2
            else:
                shape = _random_shape(rng)
            rles = _encoded(shape, first, last)
            for place, category in enumerate(guessed[:classes_a_mask]):
                score = float(certainty / 2**place)
                tracks.append(
                    dict(video_id=seed + 1, category_id=category, score=score, segmentations=rles)
                )
        del tracks[predictions:]
    return truth, found


def make_set(
    videos: int, predictions: int = 40, classes_a_mask: int = CLASSES_A_MASK, runs: int = 1
) -> tuple[dict, list[list]]:
    """The annotations of a set of ``videos``, and for each run its results, as read from JSON."""
    annotations, found = [], [[] for _ in range(runs)]
    for video in shown(range(videos), sys.stderr.isatty(), f'making {videos} videos'):
        truth, results = json.loads(
            json.dumps(make_video(video, predictions, classes_a_mask, runs))
        )
        annotations += truth
        for run, tracks in zip(found, results, strict=True):
            run += tracks
    return dict(
        videos=[dict(id=i + 1, height=HEIGHT, width=WIDTH, length=FRAMES) for i in range(videos)],
        categories=[dict(id=i + 1, name=f'class {i + 1}') for i in range(CLASSES)],
        annotations=[dict(entry, id=i + 1) for i, entry in enumerate(annotations)],
    ), found


def mmdet_evaluation(results: list[dict], annotations: dict) -> YTVISeval:
    """mmdet's own evaluation as its metric for YouTube-VIS runs it. Changes its arguments."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = YTVIS(annotations)
        evaluation = YTVISeval(truth, truth.loadRes(results))
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def mmdet_figures(evaluation: YTVISeval, names: list[str]) -> dict[str, float]:
    """All figures of :func:`evaluate_tracks`, and those of each class as NAME/FIGURE."""
    figures = dict(zip(track_ap.METRICS, evaluation.stats, strict=True))
    precision, recall = evaluation.eval['precision'], evaluation.eval['recall']
    for k, name in enumerate(names):
        figures[f'{name}/AP'] = precision[:, :, k, 0, 2].mean()
        figures[f'{name}/AP50'] = precision[0, :, k, 0, 2].mean()
        figures[f'{name}/AP75'] = precision[5, :, k, 0, 2].mean()
        figures[f'{name}/AR1'] = recall[:, k, 0, 0].mean()
        figures[f'{name}/AR10'] = recall[:, k, 0, 1].mean()
    return figures


def plain_iou_across_runs(runs: list, min_iou: float) -> np.ndarray:
    """IoU of the tracks of a class of different runs, pair by pair and frame by frame."""
    del min_iou
    tracks = [(run, track) for run, tracks in enumerate(runs) for track in tracks]
    iou = np.full((len(tracks), len(tracks)), -1.0)
    for (i, (run, one)), (j, (other_run, other)) in combinations(enumerate(tracks), 2):
        if run != other_run and one['category_id'] == other['category_id']:
            iou[i, j] = iou[j, i] = plain_iou(one['segmentations'], other['segmentations'])
    return iou


def plain_iou(track: list, other: list) -> float:
    """IoU of two tracks, as mmdet computes it."""
    shared = union = 0
    for a, b in zip(track, other, strict=True):
        if a and b:
            shared += int(mask_utils.area(mask_utils.merge([a, b], True)))
            union += int(mask_utils.area(mask_utils.merge([a, b], False)))
        elif a or b:
            union += int(mask_utils.area(a or b))
    return shared / max(union, 1)


def plain_vote(frames: list, votes: list[int]) -> list[dict | None]:
    """The pixels with half of the votes, on dense masks."""
    voted = []
    for masks in frames:
        pixels = np.zeros((HEIGHT, WIDTH), np.int64)
        for rle, vote in zip(masks, votes, strict=True):
            if rle:
                pixels += vote * mask_utils.decode(rle).astype(np.int64)
        dense = 2 * pixels >= sum(votes)
        voted.append(encode_masks(dense[None])[0] if dense.any() else None)
    return voted


def timed(run: Callable) -> tuple[float, float, object]:
    """CPU and wall seconds, and what ``run`` returns."""
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    result = run()
    return time.process_time() - cpu, time.perf_counter() - wall, result


def best_of(repeat: int, prepare: Callable, *variants: Callable) -> list[tuple]:
    """``timed`` of each of the variants in turn, of each its best CPU time."""
    best = [None] * len(variants)
    for _ in range(repeat):
        for i, variant in enumerate(variants):
            arguments = prepare()
            measured = timed(lambda variant=variant, arguments=arguments: variant(*arguments))
            best[i] = min(best[i] or measured, measured, key=lambda m: m[0])
    return best


def scoring_row(videos: int, predictions: int, classes_a_mask: int, repeat: int) -> str:
    """Score one set by mmdet and by us, and compare all figures."""
    annotations, (results,) = make_set(videos, predictions, classes_a_mask)
    names = [category['name'] for category in annotations['categories']]
    plain, ours = best_of(
        repeat,
        # mmdet's changes the lists and dicts of the tracks; the RLE stays as it is.
        lambda: tuple(
            [dict(entry, segmentations=list(entry['segmentations'])) for entry in entries]
            if isinstance(entries, list)
            else dict(entries, annotations=copy.deepcopy(entries['annotations']))
            for entries in (results, annotations)
        ),
        mmdet_evaluation,
        lambda *arguments: evaluate_tracks(*arguments, details=True),
    )
    figures = {name: ours[2][name] for name in track_ap.METRICS}
    for name, scores in ours[2]['per_class'].items():
        figures |= {f'{name}/{key}': v for key, v in scores.items() if key.startswith('A')}
    expected = mmdet_figures(plain[2], names)
    difference = max(abs(expected[name] - figures[name]) for name in expected)
    cells = [videos, predictions, classes_a_mask, len(annotations['annotations'])]
    return row(*cells, *times(plain, ours), f'{difference:.0e}', f'{figures["AP"]:.4f}')


def merging_rows(videos: int, predictions: int, repeat: int) -> list[str]:
    """Merge three runs by either method in the plain forms and in ours."""
    _, runs = make_set(videos, predictions, runs=3)
    jobs = [
        [[entry for entry in run if entry['video_id'] == video + 1] for run in runs]
        for video in range(videos)
    ]
    rows = []
    for method in ('suppress', 'fuse'):

        def ours(method: str = method) -> list:
            return [merge_tracks(job, method=method) for job in jobs]

        def plain(ours: Callable = ours) -> list:
            forms = dict(_iou_across_runs=plain_iou_across_runs, vote_on_masks=plain_vote)
            with patch.dict(merge_tracks.__globals__, forms):
                return ours()

        slow, fast = best_of(repeat, tuple, plain, ours)
        same = 'yes' if slow[2] == fast[2] else 'NO'
        merged = sum(map(len, fast[2]))
        rows.append(row(method, videos, predictions, merged, *times(slow, fast), same))
    return rows


def times(plain: tuple, ours: tuple) -> list[str]:
    seconds = [f'{value:.2f}' for value in (*plain[:2], *ours[:2])]
    return [*seconds, f'{plain[0] / ours[0]:.1f}', f'{plain[1] / ours[1]:.1f}']


def row(*cells: object) -> str:
    return '| ' + ' | '.join(map(str, cells)) + ' |'


def header(*cells: str) -> str:
    return f'{row(*cells)}\n{row(*["---:"] * len(cells))}'


def machine() -> str:
    """The machine in words."""
    names = {
        line.split(':')[1].strip()
        for line in Path('/proc/cpuinfo').read_text().splitlines()
        if line.startswith('model name')
    }
    return (
        f'{os.cpu_count()} cores ({", ".join(sorted(names))}), {platform.system()}, '
        f'Python {platform.python_version()}, numpy {np.__version__}, '
        f'torch {torch.__version__}, {torch.get_num_threads()} threads (the evaluation uses one), '
        f'load {os.getloadavg()[0]:.1f}'
    )


def _random_shape(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An outline that moves: left edge (30,), top and bottom of each column (30, width)."""
    width, height = np.exp(rng.uniform(np.log(80), np.log((600, 450)), 2)).astype(int)
    x = np.linspace(-0.98, 0.98, width)
    half = np.sqrt(1 - x**2) * height / 2
    waves = sum(
        rng.uniform(0, 0.25 / k) * np.sin(4 * k * x + rng.uniform(0, 6, (2, 1)))
        for k in (1, 2, 3, 4)
    )
    time_ = np.linspace(0, 1, FRAMES)[:, None]
    left = rng.uniform(0, WIDTH - width) + time_[:, 0] * rng.uniform(-150, 150)
    middle = rng.uniform(height / 2, HEIGHT - height / 2) + time_ * rng.uniform(-80, 80)
    top = middle - half * (1 + waves[0])
    bottom = middle + half * (1 + waves[1])
    noise = rng.integers(-1, 2, (2, FRAMES, width))
    return left.clip(0, WIDTH - width), top + noise[0], bottom + noise[1]


def _with_error(rng: np.random.Generator, shape: tuple) -> tuple:
    """The shape a bit aside, and with an outline of its own."""
    left, top, bottom = shape
    dx, dy = rng.normal(0, 0.04, 2) * (top.shape[1], (bottom - top).mean())
    noise = rng.integers(-2, 3, (2, *top.shape))
    return (left + dx).clip(0, WIDTH - top.shape[1]), top + dy + noise[0], bottom + dy + noise[1]


def _encoded(shape: tuple, first: int, last: int) -> list[dict | None]:
    """RLE of frames ``first`` to before ``last``, None for the others."""
    left, top, bottom = shape
    top = top.round().astype(int).clip(0, HEIGHT - 2)
    bottom = np.maximum(bottom.round().astype(int).clip(1, HEIGHT - 1), top + 1)
    start = left.astype(int)[:, None] * HEIGHT + np.arange(top.shape[1]) * HEIGHT
    changes = np.stack([start + top, start + bottom], -1).reshape(FRAMES, -1)
    counts = np.diff(changes, prepend=0, append=HEIGHT * WIDTH)
    rles = [None] * FRAMES
    for frame in range(first, last):
        rle = dict(size=[HEIGHT, WIDTH], counts=counts[frame].tolist())
        rle = mask_utils.frPyObjects(rle, HEIGHT, WIDTH)
        rles[frame] = dict(size=[HEIGHT, WIDTH], counts=rle['counts'].decode())
    return rles


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Time the YouTube-VIS evaluation against mmdet, and the merging of three runs '
        'against pairs one by one and dense masks.'
    )
    parser.add_argument(
        '--videos', type=int, default=421, metavar='N', help='of the largest set (default: 421)'
    )
    parser.add_argument(
        '--merge-videos', type=int, default=2, metavar='N', help='to merge (default: 2)'
    )
    parser.add_argument(
        '--repeat', type=int, default=2, metavar='N', help='the best of so many counts (default: 2)'
    )
    parser.add_argument(
        '--no-growth', action='store_true', help='the largest set and the first merging only'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with one_line_errors():
        if min(args.videos, args.merge_videos, args.repeat) < 1:
            raise InputError('--videos, --merge-videos and --repeat: at least 1 is needed')
        if args.no_growth:
            sets, merges = [(args.videos, 40, 4)], [(args.merge_videos, 40)]
        else:
            few = max(1, args.videos // 8)
            sets = [(max(1, args.videos // part), 40, 4) for part in (1, 2, 4, 8)]
            sets += [(few, predictions, 4) for predictions in (20, 80, 160)] + [(few, 40, 1)]
            merges = [(args.merge_videos, 40), (2 * args.merge_videos, 40), (args.merge_videos, 80)]
        seconds = ('plain CPU s', 'plain wall s', 'ours CPU s', 'ours wall s')
        ratios = ('CPU ratio', 'wall ratio')
        print(f'Machine: {machine()}\n')
        print(f'Scoring; videos of {FRAMES} frames of {WIDTH}x{HEIGHT}, plain is mmdet:\n')
        columns = ('videos', 'results a video', 'classes a mask', 'annotated tracks')
        print(header(*columns, *seconds, *ratios, 'largest difference', 'AP'))
        for videos, predictions, classes_a_mask in sets:
            print(scoring_row(videos, predictions, classes_a_mask, args.repeat), flush=True)
        print('\nMerging of three runs; plain is pair by pair, votes on dense masks:\n')
        columns = ('method', 'videos', 'results a video and run', 'merged')
        print(header(*columns, *seconds, *ratios, 'same result'))
        for videos, predictions in merges:
            for line in merging_rows(videos, predictions, args.repeat):
                print(line, flush=True)


if __name__ == '__main__':
    main()
