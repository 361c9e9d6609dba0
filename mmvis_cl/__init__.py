"""Online video instance segmentation by contrastive learning, on top of MMDetection."""

from . import compat
from .version import __version__

compat.set_up()

__all__ = ['__version__']
