"""Serve a page on which a video is dropped, tracked, and its results downloaded.

mmvis-cl app --weights idol-r50-ytvis21
mmvis-cl app --config small_moving-shapes --weights work_dirs/demo/iter_2000.pth

It listens on this machine alone, unless --host says otherwise.
"""

import argparse
import os

from mmvis_cl.config_names import find_config
from mmvis_cl.errors import InputError
from mmvis_cl.weights.door import check_name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        '--weights',
        nargs='+',
        required=True,
        metavar='FILE|NAME',
        help='what can be picked, as of mmvis-cl track',
    )
    parser.add_argument('--config', help='of all of them, where they do not know it')
    parser.add_argument('--device', help='cuda, cuda:1, cpu (default: cuda if there is any)')
    parser.add_argument(
        '--host', default='127.0.0.1', help='address to listen at (default: %(default)s)'
    )
    parser.add_argument('--port', type=int, default=7860, help='(default: %(default)s)')
    parser.add_argument(
        '--max-upload-mb', type=int, default=500, metavar='MB', help='(default: %(default)s)'
    )


def check_arguments(args: argparse.Namespace) -> None:
    """Weights that are not there, and numbers out of range."""
    if args.config is not None:
        find_config(args.config)
    for name in args.weights:
        check_name(name, '--weights ')
    if not 1 <= args.port <= 65535:
        raise InputError(f'--port {args.port}: must be from 1 to 65535; give such a number')
    if args.max_upload_mb < 1:
        raise InputError(f'--max-upload-mb {args.max_upload_mb}: must be 1 or more; give that')


def run(args: argparse.Namespace) -> int:
    """Serve the page.

    Raises:
        InputError: Gradio is not installed, or the port is in use.
    """
    from mmvis_cl.app import launch

    names = [os.path.basename(name) for name in args.weights]
    if len(set(names)) < len(names):
        names = list(args.weights)
    models = {name: (args.config, path) for name, path in zip(names, args.weights, strict=True)}
    launch(models, args.host, args.port, args.device, args.max_upload_mb)
    return 0
