"""Turn a checkpoint of the authors' release or of CTVIS's into one that our configs load.

Which of the two, on a ResNet or a Swin, is seen by its names; Mask2Former's own checkpoints, which
CTVIS starts from, are read as well. Or back, with --reverse. Optimiser and schedule are left out.
The command track needs no converted file: it takes a checkpoint of a release as it is.
"""

import argparse
import os

from mmvis_cl.errors import InputError
from mmvis_cl.files import whole_file
from mmvis_cl.weights.door import check_name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_file_arguments(parser)
    parser.add_argument(
        '--reverse', action='store_true', help="from ours to the release's names, for its own code"
    )


def add_file_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what every converter of checkpoints takes: ``IN OUT [--trust-checkpoint]``."""
    parser.add_argument('input', metavar='IN', help='checkpoint to read')
    parser.add_argument('output', metavar='OUT', help='checkpoint to write')
    parser.add_argument(
        '--trust-checkpoint',
        '--trust-input',
        action='store_true',
        help='let IN make objects of any type, which can run any code: only for files of your own',
    )


def convert(path: str, reverse: bool, trusted: bool) -> dict:
    """The checkpoint to write.

    Args:
        path: Of the checkpoint to read.
        reverse: From ours to the release's.
        trusted: See `read_checkpoint`.

    Returns:
        The state dict under ``state_dict`` (ours) or ``model`` (the release's).

    Raises:
        InputError: See `read_checkpoint`, `tensors_of` and `mmvis_cl.checkpoints.renaming`.
    """
    from mmvis_cl.checkpoints.reader import read_checkpoint, tensors_of
    from mmvis_cl.checkpoints.release_checkpoint import REST_KEY
    from mmvis_cl.checkpoints.releases import AUTHORS, release_like, release_of

    content = read_checkpoint(path, trusted)
    weights = tensors_of(content, path)
    theirs, ours = release_of(weights), release_like(weights)
    if reverse and theirs:
        raise InputError(f"{path}: has the release's names already; leave out --reverse")
    if not reverse and ours:
        raise InputError(f"{path}: has our names already; add --reverse for the release's")
    try:
        if reverse:
            rest = (content.get('meta') or {}).get(REST_KEY)
            return dict(model=(ours or AUTHORS).to_theirs(weights, rest))
        state, rest = (theirs or AUTHORS).from_theirs(weights)
    except InputError as error:
        raise InputError(f'{path}: {error}') from error
    return dict(state_dict=state, meta={REST_KEY: rest})


def check_arguments(args: argparse.Namespace) -> None:
    """What is wrong before torch is imported: files that are not there."""
    if not os.path.exists(args.input):
        check_name(args.input)


def run(args: argparse.Namespace) -> int:
    """Convert the checkpoint and write it.

    Raises:
        InputError: See `convert`, or a path is wrong or cannot be written to.
    """
    check_files(args.input, args.output)
    checkpoint = convert(args.input, args.reverse, args.trust_checkpoint)
    save_whole(checkpoint, args.output)
    (weights,) = (checkpoint[key] for key in ('model', 'state_dict') if key in checkpoint)
    print(f'{args.output}: {len(weights)} tensors')
    if not args.reverse:
        classes, queries = _classes_and_queries(weights)
        print(f'for a config with {classes} classes and {queries} queries')
        if not any(name.startswith('embed_head.') for name in weights):
            print('without embeddings: to start a training from, with load_from')
    return 0


def _classes_and_queries(weights: dict) -> tuple[int, int]:
    head = 'detector.panoptic_head.'
    if f'{head}cls_embed.bias' in weights:  # the last one is no object
        return len(weights[f'{head}cls_embed.bias']) - 1, len(weights[f'{head}query_feat.weight'])
    classes = len(weights['detector.bbox_head.cls_branches.0.bias'])
    return classes, len(weights['detector.query_embedding.weight'])


def check_files(path: str, output: str) -> None:
    """Make sure, before any work, that a converted file can be put where it is wanted.

    Raises:
        InputError: There is no such folder, or the output is the input.
    """
    folder = os.path.dirname(os.path.abspath(output))
    if not os.path.isdir(folder):
        raise InputError(f'{output}: there is no folder {folder}; make it first')
    if os.path.realpath(path) == os.path.realpath(output):
        raise InputError(f'{output}: IN and OUT are the same file; give another name')


def save_whole(checkpoint: dict, path: str) -> None:
    """Write a checkpoint; the file has its name only when it is whole.

    Raises:
        InputError: It cannot be written.
    """
    import torch

    with whole_file(path, 'wb') as file:
        try:
            torch.save(checkpoint, file)
        except RuntimeError as error:  # of its own writer, for an OSError
            cause = error.__context__
            raise cause if isinstance(cause, OSError) else OSError(str(error)) from error
