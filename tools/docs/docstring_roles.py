"""An extension of griffe: what docstrings have of Sphinx becomes Markdown."""

import re
import sys
from pathlib import Path
from typing import Any

import griffe

sys.path.insert(0, str(Path(__file__).parent))
from registered_classes import plain_roles


class DocstringRoles(griffe.Extension):
    """:class:`X` -> `X`, and sessions of Python are code, in every docstring of the package."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring:
            text = plain_roles(obj.docstring.value)
            # without a fence '>>>' would be a quotation in a quotation in a quotation
            obj.docstring.value = re.sub(
                r'(?m)^>>> .*(?:\n(?:>>>|\.\.\.) .*)*$', r'```pycon\n\g<0>\n```', text
            )
