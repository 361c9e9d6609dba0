"""Rank videos and frames by what most needs a look: where to label next.

  mmvis-cl active RESULTS.json --top 20
  mmvis-cl active TRACKED --out look.csv --out-list next.csv

RESULTS is a result file, a COCO-video file (which knows the scores of each frame and its number in
the source), or a folder of mmvis-cl track-all. Doubts are low scores, identities that meet, break
or come back, and sudden changes of size or place; that about a frame is their sum, that about a
video the mean of its frames.
"""

import argparse
import csv
import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from mmvis_cl.errors import InputError, shortened
from mmvis_cl.files import check_new_file, whole_file

if TYPE_CHECKING:
    from mmvis_cl.evaluation.doubts import Doubt, DoubtfulVideo

_SHOWN = 20
_AROUND = 10  # frames before and after those that are to be labelled


class _Frame(NamedTuple):
    """A frame with its doubts; ``place`` in the video, ``number`` in the source."""

    video: 'DoubtfulVideo'
    place: int
    number: int
    amount: float
    doubts: 'list[Doubt]'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        'results', metavar='RESULTS', help='a file or folder of tracked videos, see above'
    )
    parser.add_argument(
        '--top',
        type=int,
        metavar='N',
        help=f'that many frames, and videos (default: {_SHOWN} are shown, all are written)',
    )
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        metavar='T',
        help='identities with a lower score do not count; those little below are a doubt (default: '
        '%(default)s, what mmvis-cl track shows)',
    )
    parser.add_argument(
        '--apart',
        type=int,
        default=5,
        metavar='N',
        help='of frames of a video that are less than N apart, only the worst (default: '
        '%(default)s; 1: all)',
    )
    parser.add_argument(
        '--out',
        metavar='FILE',
        help='.csv, a row a frame; or .json, with the videos and each doubt as well',
    )
    parser.add_argument(
        '--out-list',
        metavar='FILE.csv',
        help='list of the videos for mmvis-cl track-all --out-cvat and others, each cut to the '
        f'frames of the ranking and {_AROUND} around them; of a folder of track-all',
    )


def check_arguments(args: argparse.Namespace) -> None:
    """What is wrong before torch is imported.

    Raises:
        InputError: A file is not there, or cannot be written, or a number is out of range.
    """
    if not os.path.exists(args.results):
        raise InputError(f'{args.results}: no such file or folder; correct the path')
    for option in ('top', 'apart'):
        value = getattr(args, option)
        if value is not None and value < 1:
            raise InputError(f'--{option} {value}: at least 1 is needed; give that or more')
    if not 0 <= args.score_thr <= 1:
        raise InputError(f'--score-thr {args.score_thr:g}: scores are 0 to 1; give one of them')
    if args.out is not None:
        suffix = os.path.splitext(args.out)[1].lower()
        if suffix not in ('.csv', '.json'):
            raise InputError(f'--out {args.out}: is neither .csv nor .json; give one of the two')
        check_new_file(args.out, suffix)
    if args.out_list is not None:
        check_new_file(args.out_list, '.csv')
        if not os.path.isdir(args.results):
            raise InputError(
                f'--out-list: {args.results} does not say where its videos are; give a folder of '
                'mmvis-cl track-all'
            )


def run(args: argparse.Namespace) -> int:
    """Rank, show and write.

    Raises:
        InputError: See :func:`~mmvis_cl.evaluation.tracked_videos.read_tracked_videos`.
    """
    from mmvis_cl.evaluation.doubts import find_doubts
    from mmvis_cl.evaluation.tracked_videos import read_tracked_videos

    check_arguments(args)
    videos = [find_doubts(video, args.score_thr) for video in read_tracked_videos(args.results)]
    videos.sort(key=lambda video: (-video.amount, video.video.name))
    frames = [
        _Frame(video, place, video.video.frames[place], _sum(found), found)
        for video in videos
        for place in video.worst_frames(args.apart)
        for found in [video.by_frame[place]]
    ]
    frames.sort(key=lambda frame: -frame.amount)
    _print(videos[: args.top or _SHOWN], frames[: args.top or _SHOWN], len(videos), len(frames))
    videos, frames = videos[: args.top], frames[: args.top]
    if args.out is not None:
        _write(args.out, videos, frames)
    if args.out_list is not None:
        _write_list(args.out_list, frames)
    written = [path for path in (args.out, args.out_list) if path is not None]
    if written:
        print(f'written: {", ".join(written)}')
    return 0


def _sum(doubts: 'Sequence[Doubt]') -> float:
    return sum(doubt.amount for doubt in doubts)


def _reasons(doubts: 'Sequence[Doubt]') -> str:
    return '; '.join(f'{doubt.kind}: {doubt.text}' for doubt in doubts)


def _print(
    videos: 'Sequence[DoubtfulVideo]', frames: Sequence[_Frame], of_videos: int, of_frames: int
) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table('video', 'doubt', 'frames', 'why', box=None)
    for video in videos:
        why = ', '.join(f'{kind} ({count})' for kind, count in video.kinds.items())
        name = escape(shortened(video.video.name))
        table.add_row(name, f'{video.amount:.2f}', str(len(video.video.frames)), escape(why))
    console = Console()
    console.print(table)
    if frames:
        table = Table('video', 'frame', 'doubt', 'why', box=None)
        for frame in frames:
            name = escape(shortened(frame.video.video.name))
            why = escape(shortened(_reasons(frame.doubts)))
            table.add_row(name, str(frame.number), f'{frame.amount:.2f}', why)
        console.print(table)
    print(f'{of_videos} videos, {of_frames} frames to look at')


def _write(path: str, videos: 'Sequence[DoubtfulVideo]', frames: Sequence[_Frame]) -> None:
    with whole_file(path, newline='') as file:
        if path.lower().endswith('.csv'):
            rows = csv.writer(file)
            rows.writerow(('rank', 'video', 'frame', 'doubt', 'reasons'))
            for rank, frame in enumerate(frames, 1):
                row = (rank, frame.video.video.name, frame.number, round(frame.amount, 4))
                rows.writerow((*row, _reasons(frame.doubts)))
            return
        content = dict(
            videos=[
                dict(
                    rank=rank,
                    video=video.video.name,
                    doubt=round(video.amount, 4),
                    frames=len(video.video.frames),
                    reasons=video.kinds,
                )
                for rank, video in enumerate(videos, 1)
            ],
            frames=[
                dict(
                    rank=rank,
                    video=frame.video.video.name,
                    frame=frame.number,
                    doubt=round(frame.amount, 4),
                    reasons=[
                        dict(kind=doubt.kind, doubt=round(doubt.amount, 4), text=doubt.text)
                        for doubt in frame.doubts
                    ],
                )
                for rank, frame in enumerate(frames, 1)
            ],
        )
        json.dump(content, file, indent=2)


def _write_list(path: str, frames: Sequence[_Frame]) -> None:
    """A row a video, the most doubtful frame's first."""
    of_video: dict[str, list[_Frame]] = {}
    for frame in frames:
        of_video.setdefault(frame.video.video.name, []).append(frame)
    with whole_file(path, newline='') as file:
        rows = csv.writer(file)
        rows.writerow(('source', 'id', 'start', 'end'))
        for name, chosen in of_video.items():
            video = chosen[0].video.video
            places = [frame.place for frame in chosen]
            first = video.frames[max(0, min(places) - _AROUND)]
            last = video.frames[min(len(video.frames), max(places) + _AROUND + 1) - 1]
            rows.writerow((video.source, name, first, last + 1))
