"""An extension of griffe: Sphinx roles in docstrings become links or code of Markdown."""

import sys
from pathlib import Path
from typing import Any

import griffe

sys.path.insert(0, str(Path(__file__).parent))
from registered_classes import plain_roles


class DocstringRoles(griffe.Extension):
    """:class:`X` -> `X`, in every docstring of the package."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring:
            obj.docstring.value = plain_roles(obj.docstring.value)
