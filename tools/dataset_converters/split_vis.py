"""Cut a validation set from the training set, by video, for scores without the challenge's server.

Both sides keep the ids of the videos and annotations, and the images stay where they are.
"""

import argparse
import json
import os
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mmvis_cl.datasets.annotation_file import load_annotations
from mmvis_cl.datasets.converters.split_videos import split_videos
from mmvis_cl.errors import InputError, one_line_errors
from mmvis_cl.files import whole_file


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('annotations', metavar='ANNOTATIONS', help='of the whole training set')
    parser.add_argument('train', metavar='OUT_TRAIN', help='annotation file to write for training')
    parser.add_argument('valid', metavar='OUT_VALID', help='annotation file to write for scoring')
    parser.add_argument(
        '--valid-share', type=float, default=0.1, help='of the videos (default: %(default)s)'
    )
    parser.add_argument('--seed', type=int, default=0, help='one seed, one split (default: 0)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with one_line_errors():
        outs = [Path(args.train), Path(args.valid)]
        paths = [os.path.realpath(path) for path in (args.annotations, *outs)]
        if len(set(paths)) < 3:
            raise InputError(
                f'{args.annotations}, {args.train} and {args.valid}: two of them are the same '
                'file; give three names'
            )
        for out in outs:
            if not os.path.isdir(out.absolute().parent):
                raise InputError(f'{out}: there is no folder {out.parent}; make it first')
        content = load_annotations(args.annotations)
        try:
            parts = split_videos(content, args.valid_share, args.seed)
        except InputError as error:
            raise InputError(f'{args.annotations}: {error}') from error
        with ExitStack() as stack:  # both or none
            for out, part in zip(outs, parts, strict=True):
                stack.enter_context(whole_file(out)).write(json.dumps(part))

    table = Table('videos by class', 'training', 'validation', box=None)
    for category in content['categories']:
        table.add_row(
            escape(category['name']), *(str(_videos(part, category['id'])) for part in parts)
        )
    Console().print(table)
    for out, part in zip(outs, parts, strict=True):
        print(f'{out}: {len(part["videos"])} videos, {len(part["annotations"])} tracks')


def _videos(part: dict, category_id: int) -> int:
    return len(
        {track['video_id'] for track in part['annotations'] if track['category_id'] == category_id}
    )


if __name__ == '__main__':
    main()
