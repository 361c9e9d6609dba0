"""The start of the console script ``mmvis-cl``.

``import mmvis_cl`` prepares mmengine, mmcv and mmdet for it, and so imports torch, which takes
seconds. This module lies outside of the package so that it can put that off until the arguments
have been read. Only commands do: processes that they start import this module too.
"""

import sys

put_off = False


def put_off_set_up() -> None:
    """Let a tool that calls this first read its arguments before torch is imported."""
    global put_off
    put_off = 'mmvis_cl' not in sys.modules


def main() -> int:
    """Run ``mmvis-cl`` with the arguments of the process; gives the exit code."""
    global put_off
    put_off = True
    from mmvis_cl.cli import main

    return main()
