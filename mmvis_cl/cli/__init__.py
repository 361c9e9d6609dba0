"""The command line ``mmvis-cl``; the tools in ``tools/`` that do the same share its code.

Each command is a module with ``add_arguments(parser)`` and ``run(args)``, which gives the exit
code. Nothing heavy is imported before the arguments are read, so that ``--help`` comes at once.
"""

from .command_line import main, run_alone

__all__ = ['main', 'run_alone']
