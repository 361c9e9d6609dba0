"""Which command is meant, and what they have in common."""

import argparse
import sys
from collections.abc import Sequence
from types import ModuleType

from mmvis_cl import compat, errors
from mmvis_cl.cli import (
    active,
    app,
    config,
    convert,
    evaluate,
    export,
    info,
    merge,
    report,
    track,
    track_all,
    weights,
)
from mmvis_cl.version import __version__

COMMANDS = {
    'track': track,
    'track-all': track_all,
    'convert': convert,
    'eval': evaluate,
    'merge': merge,
    'report': report,
    'active': active,
    'app': app,
    'weights': weights,
    'export': export,
    'config': config,
    'info': info,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: The arguments; those of the process if None.

    Returns:
        The exit code.

    Raises:
        SystemExit: As argparse does after ``--help`` and for wrong arguments; with code 2 after one
            line for bad input, and with code 130 after Ctrl-C.
    """
    parser = argparse.ArgumentParser(
        prog='mmvis-cl',
        description='Online video instance segmentation: find every object in a video, its class, '
        'its mask in every frame, and keep its identity.',
        epilog='mmvis-cl COMMAND --help tells more about a command.',
    )
    parser.add_argument('--version', action='version', version=f'mmvis_cl {__version__}')
    commands = parser.add_subparsers(title='commands', metavar='COMMAND', required=True)
    for name, module in COMMANDS.items():
        summary = (module.__doc__ or name).splitlines()[0].rstrip('.')  # python -OO has none
        _set_up_parser(
            commands.add_parser(
                name,
                help=summary[0].lower() + summary[1:],
                formatter_class=argparse.RawDescriptionHelpFormatter,
            ),
            module,
        )
    with errors.one_line_errors():  # options may be read by us
        args = parser.parse_args(argv)
    return _run(args)


def run_alone(command: ModuleType) -> None:
    """Run one command as a script of its own and end the process if that fails.

    Args:
        command: The module of the command.
    """
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter)
    _set_up_parser(parser, command)
    code = _run(parser.parse_args())
    if code:
        sys.exit(code)


def _set_up_parser(parser: argparse.ArgumentParser, command: ModuleType) -> None:
    parser.description = command.__doc__
    command.add_arguments(parser)
    parser.set_defaults(
        run=command.run,
        check=getattr(command, 'check_arguments', None),
        needs_torch=getattr(command, 'NEEDS_TORCH', True),
    )


def _run(args: argparse.Namespace) -> int:
    if args.check is not None:
        with errors.one_line_errors():  # what needs no torch is said before its import
            args.check(args)
    if not args.needs_torch:
        with errors.one_line_errors():
            return args.run(args)
    try:
        compat.set_up_if_put_off()
        from mmvis_cl.engine.cli import one_line_errors
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        return 130
    except ImportError as error:
        if args.run is not info.run:
            print(f'error: {error}', file=sys.stderr)
            return 2
        return args.run(args)  # it says what is wrong with the installation
    with one_line_errors():
        return args.run(args)
