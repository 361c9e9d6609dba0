"""Serve a page on which people drop videos, watch them being tracked, and download the tracks.

mmvis-cl app --weights CHECKPOINT.pth --config CONFIG

Needs Gradio: pip install 'mmvis_cl[app]'. It listens on this machine alone unless --host says
otherwise. Who drops a video waits until those before are done. Uploads and outputs lie in a
temporary folder, an hour each at most, which is removed at the end (Ctrl-C).
"""

import argparse
from importlib.util import find_spec

from mmvis_cl.config_names import find_config
from mmvis_cl.errors import InputError
from mmvis_cl.weights import KNOWN
from mmvis_cl.weights.door import check_name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    model = parser.add_argument_group('model')
    model.add_argument(
        '--weights',
        nargs='+',
        metavar='FILE|NAME',
        help='to choose from, each as of mmvis-cl track; the first is loaded at once (default: the '
        'names of mmvis-cl weights, which are fetched when they are chosen)',
    )
    model.add_argument(
        '--config',
        nargs='+',
        default=[],
        metavar='CONFIG',
        help='one for all weights, or one for each; not needed where the weights know theirs',
    )
    model.add_argument('--device', help='cuda, cuda:1, cpu (default: cuda if there is any)')
    model.add_argument('--amp', action='store_true', help='as of mmvis-cl track')
    server = parser.add_argument_group('server')
    server.add_argument(
        '--host',
        default='127.0.0.1',
        metavar='ADDRESS',
        help='to listen on; with 0.0.0.0 everybody who reaches this machine can use it (default: '
        '%(default)s, this machine alone)',
    )
    server.add_argument(
        '--port', type=int, default=7860, help='0 for any free one (default: %(default)s)'
    )
    server.add_argument(
        '--max-upload-mb', type=int, default=500, metavar='N', help='default: %(default)s'
    )
    server.add_argument(
        '--max-frames',
        type=int,
        default=3000,
        metavar='N',
        help='of a video that are tracked (default: %(default)s)',
    )
    server.add_argument(
        '--max-waiting',
        type=int,
        default=20,
        metavar='N',
        help='visitors that wait while one is served; others are turned away (default: '
        '%(default)s)',
    )


def check_arguments(args: argparse.Namespace) -> None:
    """What can be known to be wrong before torch is imported.

    Raises:
        InputError: A number is out of range, weights or a config are not there, or Gradio is not.
    """
    for option, least, most in (
        ('port', 0, 65535),
        ('max_upload_mb', 1, 10**6),
        ('max_frames', 1, 10**7),
        ('max_waiting', 1, 10**4),
    ):
        number = getattr(args, option)
        if not least <= number <= most:
            name = option.replace('_', '-')
            raise InputError(
                f'--{name} {number}: must be from {least} to {most}; give such a number'
            )
    for config in args.config:
        find_config(config)
    for weights in args.weights or ():
        check_name(weights, '--weights ')
    if find_spec('gradio') is None:
        raise InputError("mmvis-cl app: needs Gradio; pip install 'mmvis_cl[app]'")


def run(args: argparse.Namespace) -> int:
    """Serve the page; ends by Ctrl-C or SIGTERM alone.

    Raises:
        InputError: The first weights cannot be loaded, or it cannot be listened there.
    """
    from mmvis_cl.app.models import Models
    from mmvis_cl.app.serve import serve
    from mmvis_cl.threads import set_threads, warn_if_busy

    warn_if_busy(set_threads())
    # those of which a page has to be visited first cannot be fetched by a click
    names = [w.name for w in KNOWN.values() if w.config is not None and w.source is not None]
    models = Models(args.weights or names, args.config, args.device, args.amp)
    if args.weights:
        models.get(models.names[0])
    serve(
        models,
        args.host,
        args.port,
        max_upload_mb=args.max_upload_mb,
        max_frames=args.max_frames,
        max_waiting=args.max_waiting,
        tell=lambda line: print(line, flush=True),
    )
    return 0
