"""``python -m mmvis_cl`` is ``mmvis-cl``."""

import sys

from mmvis_cl.cli import main

if __name__ == '__main__':
    sys.exit(main())
