"""Print a config with all that it inherits.

mmvis-cl config r50_ytvis21 --cfg-options train_dataloader.batch_size=2
"""

import argparse

from mmvis_cl.config_names import find_config

NEEDS_TORCH = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        'config', help='config file, or the name alone of one that comes with mmvis_cl'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        metavar='KEY=VALUE',
        help='override settings of the config, as optim_wrapper.optimizer.lr=5e-5',
    )


def run(args: argparse.Namespace) -> int:
    """Print the config.

    Returns:
        0.

    Raises:
        InputError: There is no such config, or an option cannot be set.
    """
    # here, for mmengine takes a second that --help need not wait for
    from mmvis_cl.config import check_names, read_config, set_options
    from mmvis_cl.config.options import read_option

    cfg = read_config(find_config(args.config))
    if args.cfg_options:
        set_options(cfg, dict(map(read_option, args.cfg_options)))
    check_names(cfg)
    print(cfg.pretty_text, end='')
    return 0
