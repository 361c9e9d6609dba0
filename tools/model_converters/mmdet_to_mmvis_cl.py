"""Turn a checkpoint of one of mmdet's own detectors into a start for ours.

``python tools/model_converters/mmdet_to_mmvis_cl.py IN OUT``
"""

import argparse
import os

import torch

from mmvis_cl.engine.cli import one_line_errors
from mmvis_cl.errors import InputError
from mmvis_cl.models.mmdet_checkpoint import from_mmdet
from mmvis_cl.models.release_checkpoint import read_checkpoint, tensors_of


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Turn a checkpoint of mmdet's Deformable DETR with box refinement "
        '(deformable-detr-refine_r50_16xb2-50e_coco), or with --backbone the backbone of any mmdet '
        'detector, into one to start a training from: load_from=OUT. What it lacks (mask head, '
        'embedding head) or has for other classes starts fresh.'
    )
    parser.add_argument('input', metavar='IN', help='checkpoint to read')
    parser.add_argument('output', metavar='OUT', help='checkpoint to write')
    parser.add_argument(
        '--backbone', action='store_true', help='only the backbone; IN may be any mmdet detector'
    )
    parser.add_argument(
        '--image-network',
        action='store_true',
        help='names for a config whose model is MaskDeformableDETR itself (stage 1, on single '
        'images); without it for ContrastiveVIS, where that network is `detector`',
    )
    parser.add_argument(
        '--trust-input',
        action='store_true',
        help='let IN run code, which checkpoints saved in training do to restore their logs; only '
        'for files of your own',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with one_line_errors():
        folder = os.path.dirname(os.path.abspath(args.output))
        if not os.path.isdir(folder):
            raise InputError(f'{args.output}: there is no folder {folder}; make it first')
        if os.path.realpath(args.input) == os.path.realpath(args.output):
            raise InputError(f'{args.output}: IN and OUT are the same file; give another name')
        theirs = tensors_of(read_checkpoint(args.input, args.trust_input), args.input)
        try:
            weights = from_mmdet(theirs, args.backbone, args.image_network)
        except InputError as error:
            raise InputError(f'{args.input}: {error}') from error
        # under another name until it is whole
        torch.save(dict(state_dict=weights), args.output + '.part')
        os.replace(args.output + '.part', args.output)
    print(f'{args.output}: {len(weights)} tensors, names as {next(iter(weights))}')
    if not args.backbone:
        prefix = '' if args.image_network else 'detector.'
        classes = len(weights[f'{prefix}bbox_head.cls_branches.0.bias'])
        queries = len(weights[f'{prefix}query_embedding.weight'])
        print(f'{classes} classes, {queries} queries')


if __name__ == '__main__':
    main()
