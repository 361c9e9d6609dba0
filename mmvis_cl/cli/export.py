"""Write the image network to a file that ONNX Runtime, OpenVINO or torch's loader runs.

mmvis-cl export --config r50_ytvis21 --weights idol.pth --out model.onnx
mmvis-cl track VIDEO.mp4 --weights model.onnx

The file stands alone: it knows its classes, sizes and thresholds, and needs no config.
"""

import argparse
import os

from mmvis_cl.config_names import find_config
from mmvis_cl.errors import InputError
from mmvis_cl.files import check_new_file
from mmvis_cl.weights.door import check_name

BACKENDS = dict(onnx='.onnx', openvino='.xml', torch='.pt2', tensorrt='.engine')
MULTIPLE, LEAST, MOST = 32, 64, 4096


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        '--config', help='as of mmvis-cl track; not needed where the weights know it'
    )
    parser.add_argument(
        '--weights', required=True, metavar='FILE|NAME', help='as of mmvis-cl track'
    )
    parser.add_argument(
        '--out', required=True, metavar='FILE', help='the file: .onnx, .xml (with a .bin), .pt2'
    )
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument(
        '--size',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help='of the frames in the network, rounded up to multiples of 32; smaller ones are padded',
    )
    sizes.add_argument(
        '--dynamic', action='store_true', help='frames of any size (what is done without --size)'
    )
    parser.add_argument(
        '--batch', type=int, metavar='N', help='frames of a pass (default: any number)'
    )
    parser.add_argument('--precision', choices=('fp32', 'fp16', 'bf16'), default='fp32')
    parser.add_argument(
        '--backend', choices=tuple(BACKENDS), help='what runs it (default: by the ending of --out)'
    )


def check_arguments(args: argparse.Namespace) -> None:
    """What can be known to be wrong before torch is imported."""
    ending = os.path.splitext(args.out)[1].lower()
    if args.backend is None:
        args.backend = next((name for name, suffix in BACKENDS.items() if suffix == ending), None)
    if args.backend is None or BACKENDS[args.backend] != ending:
        wanted = ', '.join(BACKENDS.values()) if args.backend is None else BACKENDS[args.backend]
        raise InputError(f'--out {args.out}: must end in {wanted}; name it so')
    if args.backend == 'tensorrt':
        raise InputError(
            '--backend tensorrt: is not written by mmvis-cl yet; export an .onnx file, and let '
            "TensorRT's own trtexec --onnx=FILE make an engine of it"
        )
    for side in args.size or ():
        if not LEAST <= side <= MOST:
            raise InputError(f'--size {side}: must be from {LEAST} to {MOST}; give such a size')
    if args.batch is not None and not 1 <= args.batch <= 64:
        raise InputError(f'--batch {args.batch}: must be from 1 to 64; give such a number')
    if args.config is not None:
        find_config(args.config)
    check_name(args.weights, '--weights ')
    check_new_file(args.out, BACKENDS[args.backend])


def run(args: argparse.Namespace) -> int:
    """Export the network.

    Raises:
        InputError: See :func:`mmvis_cl.apis.export_model`.
    """
    from mmvis_cl.apis.export_model import export_model

    size = None
    if args.size:
        size = tuple(-(-side // MULTIPLE) * MULTIPLE for side in args.size)
    export_model(
        args.config,
        args.weights,
        args.out,
        size=size,
        batch=args.batch,
        precision=args.precision,
        backend=args.backend,
    )
    files = [args.out, os.path.splitext(args.out)[0] + '.bin', f'{args.out}.data']
    for file in files:
        if os.path.isfile(file):
            print(f'written: {file} ({os.path.getsize(file) / 1e6:.1f} MB)')
    return 0
