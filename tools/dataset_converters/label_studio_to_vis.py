"""Videos annotated with Label Studio (JSON or JSON-MIN) as a data set in the YouTube-VIS format.

Each task is a video. Label Studio has boxes in videos, no masks: --boxes fill takes the whole box.
Boxes that mmvis-cl track --out-label-studio wrote have their masks with them, until they are moved.
What is between keyframes is interpolated. The frames come from --frames: a video file, a folder of
images, or a folder that holds one of both for each task, with the name of its video or its id.
"""

import argparse
from pathlib import Path

from mmvis_cl.datasets.converters.label_studio import read_label_studio
from mmvis_cl.engine.converter_cli import add_box_option, add_output_options, check_options, write
from mmvis_cl.errors import one_line_errors


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('annotations', type=Path, metavar='EXPORT.json')
    parser.add_argument(
        '--frames', type=Path, required=True, metavar='PATH', help='images or video, see above'
    )
    parser.add_argument(
        '--classes',
        nargs='+',
        metavar='LABEL',
        help='all labels, in order, if the export does not have all (default: those in it)',
    )
    add_box_option(parser)
    add_output_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with one_line_errors():
        check_options(args)
        write(args, read_label_studio(args.annotations, args.frames, args.boxes, args.classes))


if __name__ == '__main__':
    main()
