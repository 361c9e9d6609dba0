"""The benchmarks, which are scripts, as modules."""

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope='module')
def import_benchmark() -> Callable[[str], ModuleType]:
    """Imports a benchmark by name."""
    folder = Path(__file__).parents[2] / 'tools' / 'benchmarks'
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield importlib.import_module
