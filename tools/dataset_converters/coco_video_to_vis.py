"""Videos in the format COCO-video as a data set in the format of YouTube-VIS.

Such files have images with a video_id and a frame_id, and annotations with a track_id or
instance_id. What mmvis-cl track --out-coco writes is one, so results can be mended and trained on.
A file without videos, as CVAT's export of a video task in COCO 1.0, has one for each folder of
images, and the identities in attributes.track_id.
"""

import argparse
from pathlib import Path

from mmvis_cl.datasets.converters.coco_video import read_coco_video
from mmvis_cl.engine.converter_cli import add_box_option, add_output_options, check_options, write
from mmvis_cl.errors import one_line_errors


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('annotations', type=Path, metavar='ANNOTATIONS.json')
    parser.add_argument(
        '--frames',
        type=Path,
        required=True,
        metavar='PATH',
        help="folder that the images' file_name starts from; or the video file; or a folder that "
        'holds a video file or a folder of images with the name of each video',
    )
    parser.add_argument(
        '--min-score',
        type=float,
        default=0.0,
        metavar='S',
        help='of results: leave out tracks with a lower mean score (default: %(default)s)',
    )
    add_box_option(parser)
    add_output_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with one_line_errors():
        check_options(args)
        write(
            args,
            read_coco_video(args.annotations, args.frames, args.boxes, args.min_score),
        )


if __name__ == '__main__':
    main()
