"""What libraries say at every start or step, and what no user of mmvis_cl can do anything about.

Each line is named here. Everything else that a library warns of is shown.
"""

import functools
import importlib
import logging
import warnings
from collections.abc import Callable
from contextlib import suppress

# How the message begins, and which module warns.
_WARNINGS = (
    ('faster_coco_eval is not installed', r'mmdet\.'),
    (r'torch\.meshgrid: in an upcoming release', r'torch\.functional'),
    (r"You'd better set embed_dims in MultiScaleDeformAttention", r'mmcv\.ops\.'),
    (
        r'torch\.utils\.checkpoint: (the use_reentrant|please pass in use_reentrant)',
        r'torch\.|mmdet\.',
    ),
    # Of torch 2.4, whose own checkpointing uses the name.
    (r'`torch\.cpu\.amp\.autocast\(args\.\.\.\)` is deprecated', r'torch\.'),
    ('Setting (OMP|MKL)_NUM_THREADS environment variable', r'mmengine\.'),
    # Of Python 3.12 and newer, while it compiles mmdet's docstrings; there is only a file's name.
    ('invalid escape sequence', r'(.*[/\\])?mmdet[/\\.]'),
)
# How the line begins. mmdet's is to be seen at level DEBUG alone, but before there is a logger
# mmengine prints everything, whatever its level.
_LINES = (
    'Could not import OneDL',
    '"FileClient" will be deprecated',
    '"HardDiskBackend" is the alias',
    'paramwise_options -- ',
)
# Where mmengine logs them, and where mmdet takes its print_log from.
_MODULES = (
    'mmengine.logging',
    'mmengine.fileio.file_client',
    'mmengine.optim.optimizer.default_constructor',
)


def silence() -> None:
    """Takes these lines out of warnings and logs; with ``log_level='DEBUG'`` the log has them."""
    for message, module in _WARNINGS:
        warnings.filterwarnings('ignore', message, Warning, module)
    with warnings.catch_warnings(record=True), suppress(ImportError):
        # mmengine will import it, and in torch 2.4 it lifts all filters to say that it is old
        importlib.import_module('torch.distributed.optim')
    for module in map(importlib.import_module, _MODULES):
        if not hasattr(module.print_log, '__wrapped__'):
            module.print_log = _without_lines(module.print_log)


def _without_lines(print_log: Callable) -> Callable:
    """mmengine's ``print_log`` for which some lines are of level DEBUG, and not printed."""

    @functools.wraps(print_log)
    def quiet_print_log(msg, logger=None, level=logging.INFO):
        if str(msg).startswith(_LINES):
            if logger is None:
                return
            level = logging.DEBUG
        print_log(msg, logger, level)

    return quiet_print_log
