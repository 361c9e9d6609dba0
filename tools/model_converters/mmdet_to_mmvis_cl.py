"""Turn a checkpoint of one of mmdet's own detectors into a start for ours.

``python tools/model_converters/mmdet_to_mmvis_cl.py IN OUT``
"""

import argparse

from mmvis_cl.checkpoints.mmdet_checkpoint import from_mmdet
from mmvis_cl.checkpoints.reader import read_checkpoint, tensors_of
from mmvis_cl.cli.convert import add_file_arguments, check_files, save_whole
from mmvis_cl.engine.cli import one_line_errors
from mmvis_cl.errors import InputError


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Turn a checkpoint of mmdet's Deformable DETR with box refinement "
        '(deformable-detr-refine_r50_16xb2-50e_coco), or with --backbone the backbone of any mmdet '
        'detector, into one to start a training from: load_from=OUT. What it lacks (mask head, '
        'embedding head) or has for other classes starts fresh.'
    )
    add_file_arguments(parser)
    parser.add_argument(
        '--backbone', action='store_true', help='only the backbone; IN may be any mmdet detector'
    )
    parser.add_argument(
        '--image-network',
        action='store_true',
        help='names for a config whose model is MaskDeformableDETR itself (stage 1, on single '
        'images); without it for ContrastiveVIS, where that network is `detector`',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with one_line_errors():
        check_files(args.input, args.output)
        theirs = tensors_of(read_checkpoint(args.input, args.trust_checkpoint), args.input)
        try:
            weights = from_mmdet(theirs, args.backbone, args.image_network)
        except InputError as error:
            raise InputError(f'{args.input}: {error}') from error
        save_whole(dict(state_dict=weights), args.output)
    print(f'{args.output}: {len(weights)} tensors, names as {next(iter(weights))}')
    if not args.backbone:
        prefix = '' if args.image_network else 'detector.'
        classes = len(weights[f'{prefix}bbox_head.cls_branches.0.bias'])
        queries = len(weights[f'{prefix}query_embedding.weight'])
        print(f'{classes} classes, {queries} queries')


if __name__ == '__main__':
    main()
