"""All messages of InputError, read from the source: ``python tools/docs/error_messages.py``.

Our messages say what is wrong and, after the last semicolon, how to mend it. Where a message does
not, cures.yml says it; a test fails for a message without a cure.
"""

import ast
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
GAP = '…'  # in place of what differs from case to case


@dataclass(frozen=True)
class Message:
    """One place that raises an InputError.

    Attributes:
        file: Relative to the repository's root, with slashes.
        line: In the file, from 1.
        text: The message, with GAP where values are filled in.
    """

    file: str
    line: int
    text: str

    @property
    def problem(self) -> str:
        """The part of the message before its cure."""
        return self.text.rpartition('; ')[0] or self.text

    @property
    def cure(self) -> str:
        """How to mend it: what follows the last semicolon, or else what cures.yml says."""
        if '; ' in self.text:
            return self.text.rpartition('; ')[2]
        return next((cure for part, cure in written_cures().items() if part in self.text), '')


@cache
def written_cures() -> dict[str, str]:
    """Of cures.yml: {part of a message, with GAP for values: cure}."""
    return yaml.safe_load((Path(__file__).parent / 'cures.yml').read_text())


def _template(node: ast.expr) -> str:
    """The text of a string expression; GAP for what is known only when it is raised."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return ''.join(map(_template, node.values))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _template(node.left) + _template(node.right)
    return GAP


def _texts(node: ast.expr) -> list[str]:
    """The texts of an argument: two or more where an expression chooses between them."""
    choices = [n for n in ast.walk(node) if isinstance(n, ast.IfExp)]
    long_choices = [
        n for n in choices if any(' ' in _template(branch) for branch in (n.body, n.orelse))
    ]
    if not long_choices:
        return [_template(node)]
    choice, texts = long_choices[0], []
    source = ast.unparse(node)
    for branch in (choice.body, choice.orelse):
        replaced = source.replace(ast.unparse(choice), ast.unparse(branch), 1)
        texts += _texts(ast.parse(replaced, mode='eval').body)
    return texts


@cache
def messages() -> list[Message]:
    """The messages of the package and the tools that say something, ordered by file and line.

    Those that only put a file or a place before another message are left out.
    """
    found = []
    for path in sorted([*ROOT.glob('mmvis_cl/**/*.py'), *ROOT.glob('tools/**/*.py')]):
        if not (source := path.read_text()).count('InputError('):
            continue
        for node in ast.walk(ast.parse(source, str(path))):
            if (
                isinstance(node, ast.Call)
                and getattr(node.func, 'id', '') == 'InputError'
                and node.args
            ):
                for text in _texts(node.args[0]):
                    text = re.sub(f'{GAP}({GAP})+', GAP, ' '.join(text.split()))
                    if re.search(r'\w{2}', text) and not text.endswith(f': {GAP}'):
                        found.append(Message(path.relative_to(ROOT).as_posix(), node.lineno, text))
    return sorted(set(found), key=lambda m: (m.file, m.line, m.text))


def message_table(folders: list[str]) -> str:
    """A Markdown table of the messages of these files and folders.

    Args:
        folders: Relative to the root, as 'mmvis_cl/datasets' or 'tools/test.py'.

    Returns:
        The table.
    """

    def cell(text: str) -> str:
        return text.replace('|', '\\|').replace('*', '\\*').replace('_', '\\_').replace('<', '&lt;')

    lines = ['| message | what to do |', '| --- | --- |']
    for message in messages():
        if any(message.file == f or message.file.startswith(f + '/') for f in folders):
            cure = message.cure[:1].upper() + message.cure[1:].rstrip('.') + '.'
            lines.append(f'| {cell(message.problem)} | {cell(cure)} |')
    return '\n'.join(dict.fromkeys(lines))


if __name__ == '__main__':
    for message in messages():
        mark = '' if message.cure else '   <- no cure: add it to tools/docs/cures.yml'
        print(f'{message.file}:{message.line}: {message.text}{mark}')
    sys.exit(any(not message.cure for message in messages()))
