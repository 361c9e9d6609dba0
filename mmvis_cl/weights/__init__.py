"""Weights by name: what is known, where it lies on this disk, and how it gets there."""

from .cache import weights_folder
from .door import config_of_name, is_elsewhere, weights_file
from .known import KNOWN, KnownWeights

__all__ = [
    'KNOWN',
    'KnownWeights',
    'config_of_name',
    'is_elsewhere',
    'weights_file',
    'weights_folder',
]
