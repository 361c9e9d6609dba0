"""Merge the results of several models (an ensemble) or test sizes.

The tracks of the result files are pooled, and those of a class that overlap in space and time are
merged: OUT.json A.json B.json --annotations FILE.json
"""

import argparse
import json
import os
import zipfile
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from mmvis_cl.errors import InputError
from mmvis_cl.files import whole_file
from mmvis_cl.processes import pool_of_workers


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        'out', metavar='OUT', help='.json to write, or .zip for a submission to the challenge'
    )
    parser.add_argument(
        'results',
        nargs='+',
        metavar='RESULTS',
        help='result .json, submission .zip, or folder of mmvis-cl track-all',
    )
    parser.add_argument(
        '--annotations',
        required=True,
        metavar='FILE',
        help='annotation file of the videos; without --eval it needs no annotated tracks',
    )
    parser.add_argument(
        '--weights', nargs='+', type=float, metavar='W', help='of each RESULTS (default: 1 1 ...)'
    )
    parser.add_argument(
        '--method',
        choices=('suppress', 'fuse'),
        default='fuse',
        help='keep the best of overlapping tracks, or let them vote on each pixel '
        '(default: %(default)s)',
    )
    parser.add_argument(
        '--score',
        choices=('mean', 'max'),
        default='mean',
        help='of a merged track: mean over all RESULTS, 0 where one has no such track, or the '
        "best one's own (default: %(default)s)",
    )
    parser.add_argument(
        '--iou-thr',
        type=float,
        default=0.5,
        help='tracks overlap if their IoU over all frames is above this (default: %(default)s)',
    )
    parser.add_argument('--eval', action='store_true', help='print the YouTube-VIS scores')
    parser.add_argument('--workers', type=int, default=1, metavar='N', help='processes that merge')


def check_arguments(args: argparse.Namespace) -> None:
    """What is wrong before torch is imported: files that are not there."""
    for path in (*args.results, *filter(None, [args.annotations])):
        if not os.path.exists(path):
            raise InputError(f'{path}: no such file')


def run(args: argparse.Namespace) -> int:
    """Merge the files and write the result.

    Raises:
        InputError: An argument is out of range, or a file is not what it should be.
    """
    from rich.progress import track

    from mmvis_cl.evaluation import (
        evaluate_tracks,
        format_scores,
        load_annotations,
        load_results,
        tracks_by_video,
    )
    from mmvis_cl.evaluation.track_ap import checked_tracks
    from mmvis_cl.structures.merge_tracks import check_merge_options

    out = Path(args.out)
    if out.suffix not in ('.json', '.zip'):
        raise InputError(f'{out}: the name of the file to write must end in .json or .zip')
    if args.workers < 1:
        raise InputError(f'--workers {args.workers}: at least 1 is needed')
    options = dict(method=args.method, iou_thr=args.iou_thr, score=args.score)
    options['weights'] = check_merge_options(len(args.results), args.weights, **options)
    if args.eval:  # also the masks, which are looked at before the work and not after it
        annotations = checked_tracks([], args.annotations).annotations
    else:
        annotations = load_annotations(args.annotations, need_tracks=False)
    runs = [
        tracks_by_video(load_results(path), path, annotations)
        for path in track(args.results, description='reading')
    ]
    video_ids = sorted(set().union(*runs))
    # Taken out of `runs` as they go, so that what was read makes room for what is merged.
    jobs = ([run.pop(video_id, []) for run in runs] for video_id in video_ids)
    num_read = [sum(map(len, run.values())) for run in runs]
    merged = []
    for video_id, tracks in zip(
        video_ids,
        track(
            _merge_videos(jobs, options, args.workers),
            description='merging',
            total=len(video_ids),
        ),
        strict=True,
    ):
        for entry in tracks:
            del entry['members']
            merged.append(dict(video_id=video_id, **entry))
    _write(out, merged)
    print(f'{" + ".join(map(str, num_read))} tracks merged to {len(merged)}: {out}')
    if args.eval:
        print(format_scores(evaluate_tracks(merged, annotations)))
    return 0


def _merge_videos(
    jobs: Iterable[list[list[dict]]], options: dict, workers: int
) -> Iterator[list[dict]]:
    """The merged tracks of each video in turn."""
    from mmvis_cl.evaluation import merge_tracks

    merge = partial(merge_tracks, **options)
    if workers == 1:
        yield from map(merge, jobs)
        return
    with pool_of_workers(workers) as pool:
        yield from pool.map(merge, jobs)


def _write(path: Path, tracks: list[dict]) -> None:
    text = json.dumps(tracks)
    if path.suffix != '.zip':
        with whole_file(path) as file:
            file.write(text)
        return
    with (
        whole_file(path, 'wb') as file,
        zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as archive,
    ):
        archive.writestr('results.json', text)
