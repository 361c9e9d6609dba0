"""Configs before and while something is built from them: reading, options, checks, errors.

Nothing here imports torch, so that a command answers at once where its config is wrong.
"""

from .build_errors import build_errors_in_one_line
from .checks import check_checkpoint_is_there, check_loaders, check_names, check_paths
from .options import CfgOptions, parse_run_args, set_options
from .read import load_config, read_config

__all__ = [
    'CfgOptions',
    'build_errors_in_one_line',
    'check_checkpoint_is_there',
    'check_loaders',
    'check_names',
    'check_paths',
    'load_config',
    'parse_run_args',
    'read_config',
    'set_options',
]
