"""Turn a checkpoint of the authors' release into one of ours, or back with ``--reverse``.

``python tools/model_converters/release_to_mmvis_cl.py IN OUT``
"""

import argparse
import os

import torch

from mmvis_cl.engine.cli import one_line_errors
from mmvis_cl.errors import InputError
from mmvis_cl.models.release_checkpoint import (
    REST_KEY,
    from_release,
    is_release,
    read_checkpoint,
    tensors_of,
    to_release,
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Turn a checkpoint of the authors' release (ResNet or Swin) into one that the "
        'configs in configs/vis_cl load. Optimiser and schedule are left out.'
    )
    parser.add_argument('input', metavar='IN', help='checkpoint to read')
    parser.add_argument('output', metavar='OUT', help='checkpoint to write')
    parser.add_argument(
        '--reverse', action='store_true', help="from ours to the release's names, for its own code"
    )
    parser.add_argument(
        '--trust-input',
        action='store_true',
        help='let IN run code, which checkpoints saved in training do to restore their logs; only '
        'for files of your own',
    )
    return parser.parse_args()


def convert(path: str, reverse: bool, trusted: bool) -> dict:
    """The checkpoint to write.

    Args:
        path: Of the checkpoint to read.
        reverse: From ours to the release's.
        trusted: See `read_checkpoint`.

    Returns:
        The state dict under ``state_dict`` (ours) or ``model`` (the release's).

    Raises:
        InputError: See `read_checkpoint`, `tensors_of`, `from_release` and `to_release`.
    """
    content = read_checkpoint(path, trusted)
    weights = tensors_of(content, path)
    if reverse and is_release(weights):
        raise InputError(f"{path}: has the release's names already; leave out --reverse")
    if not reverse and 'detector.level_embed' in weights:
        raise InputError(f"{path}: has our names already; add --reverse for the release's")
    try:
        if reverse:
            return dict(model=to_release(weights, (content.get('meta') or {}).get(REST_KEY)))
        ours, rest = from_release(weights)
    except InputError as error:
        raise InputError(f'{path}: {error}') from error
    return dict(state_dict=ours, meta={REST_KEY: rest})


def main() -> None:
    args = parse_args()
    with one_line_errors():
        folder = os.path.dirname(os.path.abspath(args.output))
        if not os.path.isdir(folder):
            raise InputError(f'{args.output}: there is no folder {folder}; make it first')
        if os.path.realpath(args.input) == os.path.realpath(args.output):
            raise InputError(f'{args.output}: IN and OUT are the same file; give another name')
        checkpoint = convert(args.input, args.reverse, args.trust_input)
        # under another name until it is whole
        torch.save(checkpoint, args.output + '.part')
        os.replace(args.output + '.part', args.output)
    (weights,) = (checkpoint[key] for key in ('model', 'state_dict') if key in checkpoint)
    print(f'{args.output}: {len(weights)} tensors')
    if not args.reverse:
        classes = len(weights['detector.bbox_head.cls_branches.0.bias'])
        queries = len(weights['detector.query_embedding.weight'])
        print(f'for a config with {classes} classes and {queries} queries')


if __name__ == '__main__':
    main()
