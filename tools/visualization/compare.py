"""Watch ground truth and results side by side, one .mp4 a video.

An object has the same colour in all panels: a result's track takes that of the annotated object
that it lies on in most frames. Tracks on no object are grey and hatched. Identity switches, missed
objects and tracks of the wrong class are marked where they happen, and counted above each panel.
"""

import argparse
import os
from collections import Counter
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from mmvis_cl.datasets.annotation_file import check_file_name, is_crowd
from mmvis_cl.datasets.video_source import read_image
from mmvis_cl.errors import InputError, one_line_errors, quoted
from mmvis_cl.evaluation import load_annotations, load_results, tracks_by_video
from mmvis_cl.evaluation.error_analysis import video_name
from mmvis_cl.visualization import VideoWriter
from mmvis_cl.visualization.comparison import TRUTH, Comparison


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('annotations', help='annotation file in the format of YouTube-VIS')
    parser.add_argument('images', help='folder that the file names in ANNOTATIONS start from')
    parser.add_argument('out', help='folder for the .mp4 files')
    parser.add_argument(
        '--results',
        nargs='+',
        required=True,
        metavar='NAME=FILE',
        help='result .json files or submission .zip files; without NAME= the name of the file',
    )
    parser.add_argument(
        '--videos', nargs='+', metavar='VIDEO', help='ids or names of folders (default: all)'
    )
    parser.add_argument(
        '--score-thr', type=float, default=0.3, help='of the tracks shown (default: %(default)s)'
    )
    parser.add_argument('--fps', type=float, default=6.0, help='default: %(default)s')
    parser.add_argument(
        '--panel-width', type=int, default=640, metavar='PIXELS', help='default: %(default)s'
    )
    parser.add_argument(
        '--absolute-paths',
        action='store_true',
        help='take frames that ANNOTATIONS names by absolute paths',
    )
    parser.add_argument('--columns', type=int, metavar='N', help='panels in a row')
    return parser.parse_args()


def named_files(arguments: list[str]) -> dict[str, str]:
    """Result files by the names of their panels."""
    files = {}
    for argument in arguments:
        name, separator, path = argument.partition('=')
        if not separator:
            name, path = Path(argument).stem, argument
        if not name or not path:
            raise InputError(f'--results {argument}: give it as NAME=FILE')
        if name in files or name == TRUTH:
            raise InputError(f'--results {argument}: another panel is called {name!r}; rename it')
        files[name] = path
    return files


def chosen_videos(annotations: dict, wanted: list[str] | None, path: str) -> list[dict]:
    """The videos to draw, in the order of the annotations."""
    videos = annotations['videos']
    if wanted is None:
        return videos
    known = {key for video in videos for key in (str(video['id']), video_name(video))}
    unknown = [name for name in wanted if name not in known]
    if unknown:
        some = ', '.join(f'{video["id"]} ({video_name(video)})' for video in videos[:3])
        raise InputError(
            f'--videos {unknown[0]}: {path} has no video with this id or folder; it has '
            f'{len(videos)}: {some}{" ..." if len(videos) > 3 else ""}'
        )
    return [video for video in videos if {str(video['id']), video_name(video)} & set(wanted)]


def annotated_tracks(annotations: dict, path: str) -> dict[int | str, list[dict]]:
    """Annotated objects by video, without crowds."""
    tracks = [
        dict(entry, score=1.0)
        for index, entry in enumerate(annotations['annotations'])
        if not is_crowd(entry, f'{path}: entry {index} of annotations')
    ]
    return tracks_by_video(tracks, path, annotations)


def frame_paths(video: dict, images: Path, annotations: str, absolute: bool) -> list[Path]:
    """The files of the frames, all of which are there."""
    names = video.get('file_names')
    if not names:
        raise InputError(
            f'{annotations}: video {quoted(video["id"])} has no file_names, so that its frames '
            'can not be found; list them'
        )
    for frame, name in enumerate(names):
        where = f'{annotations}: video {quoted(video["id"])}, frame {frame}'
        check_file_name(name, where, absolute)
    paths = [images / name for name in names]
    missing = [path for path in paths if not os.path.isfile(path)]
    if missing:
        raise InputError(
            f'{missing[0]}: no such frame ({len(missing)} of {len(paths)} of video '
            f'{quoted(video["id"])} are not there); IMAGES must be the folder that the file names '
            f'in {annotations} start from'
        )
    return paths


def read_frame(path: Path, video: dict) -> np.ndarray:
    """(H, W, 3) uint8, RGB."""
    frame = read_image(path)
    size = video['height'], video['width']
    if frame.shape[:2] != size:
        raise InputError(
            f'{path}: the frame is {frame.shape[:2]} (h, w), but video {video["id"]} is {size} in '
            'the annotations; give the images that were annotated'
        )
    return frame


def main() -> None:
    args = parse_args()
    files = named_files(args.results)
    for name, value in (('--panel-width', args.panel_width), ('--columns', args.columns)):
        low = 160 if name == '--panel-width' else 1
        if value is not None and value < low:
            raise InputError(f'{name} {value}: must be at least {low}')
    annotations = load_annotations(args.annotations)
    videos = chosen_videos(annotations, args.videos, args.annotations)
    objects = annotated_tracks(annotations, args.annotations)
    results = {
        name: tracks_by_video(load_results(path), path, annotations) for name, path in files.items()
    }
    paths = {
        video['id']: frame_paths(video, Path(args.images), args.annotations, args.absolute_paths)
        for video in videos
    }
    class_names = {category['id']: category['name'] for category in annotations['categories']}

    names = Counter(video_name(video) for video in annotations['videos'])
    totals = {name: Counter(switches=0, misses=0, extra=0, classes=0) for name in results}
    for video in track(videos, description='drawing', console=Console(stderr=True)):
        comparison = Comparison(
            video,
            objects.get(video['id'], []),
            {name: tracks.get(video['id'], []) for name, tracks in results.items()},
            class_names,
            score_thr=args.score_thr,
            panel_width=args.panel_width,
            columns=args.columns,
        )
        name = video_name(video)
        if names[name] > 1:  # several videos in one folder
            name += f'_{video["id"]}'
        out = Path(args.out) / f'{name.replace("/", "_")}.mp4'
        with VideoWriter(out, fps=args.fps) as writer:
            for frame, path in enumerate(paths[video['id']]):
                writer.write(comparison.draw(frame, read_frame(path, video)))
        for name, counts in comparison.counts().items():
            totals[name].update(counts)

    table = Table('result', *next(iter(totals.values())), box=None)
    for name, counts in totals.items():
        table.add_row(escape(name), *map(str, counts.values()))
    Console().print(table)
    print(f'{len(videos)} videos are in {args.out}')


if __name__ == '__main__':
    with one_line_errors():
        main()
