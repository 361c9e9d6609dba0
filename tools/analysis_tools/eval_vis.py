"""``python tools/analysis_tools/eval_vis.py`` is ``mmvis-cl eval``."""

from mmvis_cl.cli import evaluate, run_alone

if __name__ == '__main__':
    run_alone(evaluate)
