"""Write the image network to a file that ONNX Runtime, OpenVINO, TensorRT or torch's loader runs.

mmvis-cl export --config r50_ytvis21 --weights idol.pth --out model.onnx
mmvis-cl track VIDEO.mp4 --weights model.onnx

The file stands alone: it knows its classes, sizes and thresholds, and needs no config. A network of
full size takes some minutes.
"""

import argparse
import os

from mmvis_cl.config_names import find_config
from mmvis_cl.errors import InputError
from mmvis_cl.export.model_file import (
    PRECISIONS,
    backend_of,
    check_batch,
    is_model_file,
    padded_size,
)
from mmvis_cl.files import check_new_file
from mmvis_cl.weights.door import check_name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        '--config', help='as of mmvis-cl track; not needed where the weights know it'
    )
    parser.add_argument(
        '--weights', required=True, metavar='FILE|NAME', help='as of mmvis-cl track'
    )
    parser.add_argument(
        '--out',
        required=True,
        metavar='FILE',
        help='the file: .onnx, .xml (OpenVINO; with a .bin), .pt2 (torch) or .engine (TensorRT)',
    )
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument(
        '--size',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help='of the frames in the network, rounded up to multiples of 32; smaller ones are '
        'padded, larger ones made smaller',
    )
    sizes.add_argument(
        '--dynamic', action='store_true', help='frames of any size (what is done without --size)'
    )
    parser.add_argument(
        '--batch', type=int, metavar='N', help='frames of a pass (default: any number)'
    )
    parser.add_argument(
        '--precision',
        choices=list(dict.fromkeys(p for known in PRECISIONS.values() for p in known)),
        default='fp32',
        help='of the network; not each backend has each (default: fp32)',
    )
    parser.add_argument(
        '--backend',
        choices=list(PRECISIONS),
        help='what runs the file (default: by the ending of --out)',
    )
    parser.add_argument(
        '--cfg-options', nargs='+', metavar='KEY=VALUE', help='override settings of the config'
    )


def check_arguments(args: argparse.Namespace) -> None:
    """What can be known to be wrong before torch is imported.

    Raises:
        InputError: An option, the config, the weights or the output does not do.
    """
    backend_of(args.out, args.backend, args.precision)
    if args.size is not None:
        padded_size(args.size)
    check_batch(args.batch)
    if args.config is not None:
        find_config(args.config)
    check_name(args.weights, '--weights ')
    if is_model_file(args.weights):
        raise InputError(
            f'--weights {args.weights}: is exported already; give the checkpoint that it was made '
            'from'
        )
    check_new_file(args.out, os.path.splitext(args.out)[1].lower())


def run(args: argparse.Namespace) -> int:
    """Export the network.

    Raises:
        InputError: See :func:`mmvis_cl.apis.export_model.export_model`.
    """
    from mmvis_cl.apis.export_model import export_model
    from mmvis_cl.cli.track_options import cfg_options_of

    files = export_model(
        args.config,
        args.weights,
        args.out,
        size=args.size,
        batch=args.batch,
        precision=args.precision,
        backend=args.backend,
        cfg_options=cfg_options_of(args),
    )
    for file in files:
        print(f'written: {file} ({os.path.getsize(file) / 1e6:.1f} MB)')
    return 0
