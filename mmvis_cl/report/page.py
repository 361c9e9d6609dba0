"""Pages that stand alone: HTML with its style, its program and its data in it."""

import html
import json
from importlib.resources import files
from typing import Any

# Nothing is fetched, whatever the data say.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def page(title: str, data: dict[str, Any]) -> str:
    """A page.

    Args:
        title: Of the page; any text.
        data: What the program shows: ``results`` (of :func:`~.collect.scores_of`), ``videos`` (of
            :func:`~.collect.video_page`) and ``list``: ``name``, ``loss`` and, where a video has a
            page of its own, ``link``.
    """
    here = files('mmvis_cl.report')
    style, program = ((here / f'page.{ending}').read_text('utf-8') for ending in ('css', 'js'))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{html.escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n'
        f'<script type="application/json" id="data">{json_in_html(data)}</script>\n'
        f'<script>\n{program}</script>\n</body>\n</html>\n'
    )


def json_in_html(data: object) -> str:
    """JSON that ends no element and starts no comment, whatever its texts are."""
    text = json.dumps(data, separators=(',', ':'), ensure_ascii=True)
    return text.replace('<', '\\u003c').replace('>', '\\u003e').replace('&', '\\u0026')
