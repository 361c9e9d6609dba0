"""The image network outside of Python: written to a file, and run from it under our tracker."""

from .model_file import is_model_file

__all__ = ['is_model_file']
