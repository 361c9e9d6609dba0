"""Online video instance segmentation by contrastive learning, on top of MMDetection."""

from . import compat
from .version import __version__

if not compat.is_put_off():
    compat.set_up()

__all__ = ['__version__']
