"""``python tools/model_converters/ctvis_to_mmvis_cl.py`` is ``mmvis-cl convert``."""

from mmvis_cl.cli import convert, run_alone

if __name__ == '__main__':
    run_alone(convert)
