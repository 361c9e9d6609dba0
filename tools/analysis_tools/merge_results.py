"""``python tools/analysis_tools/merge_results.py`` is ``mmvis-cl merge``."""

from mmvis_cl.cli import merge, run_alone

if __name__ == '__main__':
    run_alone(merge)
